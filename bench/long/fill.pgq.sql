-- As new: all that was there is read.
SELECT pgq.unregister_consumer('bench', 'reader');
SELECT pgq.drop_queue('bench', true);
SELECT pgq.create_queue('bench'), pgq.register_consumer('bench', 'reader');
CHECKPOINT;
