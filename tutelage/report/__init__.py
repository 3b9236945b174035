"""The report for a team lead: one page with pictures, made of the figures."""
