"""What our side is compared with: one small script each, written as its users would write it."""
