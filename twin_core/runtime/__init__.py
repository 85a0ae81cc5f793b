"""The services of one machine: the embedded Postgres, what `twin up` supervises, their health.

Starting, stopping and asking after processes belongs here. What the services do belongs to their own packages, and
nothing here imports them before it must: `twin status` has to answer when half of them are broken.
"""
