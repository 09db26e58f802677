"""The shell round the policy: who asks (subject), what is known (information), the decision carried out (enforcement),
and the record of it (audit)."""
