SELECT foreman.create_jobs(jobs) FROM bare.batch;
