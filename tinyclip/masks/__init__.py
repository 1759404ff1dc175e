"""Gates that learn how open every unit is, and the choice of the units that stay."""
