"""`/desk`: where the privacy desk works: requests with their clocks, reviews, conflicts, studies that wait for a person,
who saw what, what other rules would change, and how sources and subscriptions stand. MDT lists and referrals are here
too, for the clinicians and coordinators who make them.
"""
