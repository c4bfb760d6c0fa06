"""What tests share: processes, browsers, a receiver of webhooks, models of the rules, a checker of histories."""
