"""What may be published of counts and groups of patients."""
