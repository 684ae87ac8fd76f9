"""Forms, fields and small controls that all steps share."""
