"""`/choices`: a patient opts out of sharing, or in again, changes how they are written to, asks how it stands, and sees
who has seen their images."""
