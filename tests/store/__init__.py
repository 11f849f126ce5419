"""Keys, products, subscriptions and the database under them."""
