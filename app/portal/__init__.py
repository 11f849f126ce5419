"""The developer portal: pages for people, made from the API's description, served without a build and without a CDN."""
