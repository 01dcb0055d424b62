"""The channel-management API: one folder a business noun, plus live pages."""
