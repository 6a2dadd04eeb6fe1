"""Everything that makes a graph compute in eight bits: measurements, rounding, and the passes of int8."""
