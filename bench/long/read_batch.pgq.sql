-- A consumer's turn: the next batch, if there is one, its events, and that it is done.
SELECT COALESCE(batch_id, -1) AS batch FROM pgq.next_batch_info('bench', 'reader') \gset
\if :batch >= 0
SELECT count(ev_data) FROM pgq.get_batch_events(:batch);
SELECT pgq.finish_batch(:batch);
\else
\sleep 50 ms
\endif
