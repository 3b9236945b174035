"""How much each voter's word weighs, found without gold."""
