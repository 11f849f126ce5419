"""Management over HTTP, for the operator: subscriptions and products as resources, in Azure API Management's form.

What is asked for comes with the admin token, never with a subscription key. Everything is done by the same services
as from the shell.
"""
