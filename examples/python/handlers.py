"""What the jobs do: yours to write. A handler gets the job and its thread's connection, in autocommit.

What it returns is the job's result. What it raises fails the attempt, and the queue's policy says when the next one is.
"""


def count(job, connection):
    """Takes its time. job.stop is set once the job's cancel was requested, or its lease is lost."""
    for _ in range(job.payload["seconds"]):
        if job.stop.wait(1):
            raise RuntimeError("told to stop")
    return {"counted": job.payload["seconds"]}


def deposit(job, connection):
    """Effect and finish in one transaction: the money comes once, however often the job is run."""
    lease = [job.job_id, job.lease_token]
    with connection.transaction():
        connection.execute("SELECT foreman.hold_lease(%s, %s)", lease)  # raises where the lease is lost
        connection.execute("INSERT INTO deposit (account, amount) VALUES (%(account)s, %(amount)s)", job.payload)
        connection.execute("SELECT foreman.check(foreman.complete_job(%s, %s))", lease)


# By job_type.
HANDLERS = {"count": count, "deposit": deposit}
