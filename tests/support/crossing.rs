//! Real deadlocks, for certain: two rows of a table, which two sessions take in opposite order, and a gate between the
//! first row and the second. Only when both hold their first row does the gate open.
//!
//! - `cross_rows(1, 2)` takes the rows in that order, for calls that run SQL of the caller's.
//! - A trigger does the same for whoever writes to `foreman.live_job` with `crossing.way` set to `1,2`: the functions
//!   for jobs lock theirs in the order of the ids, so nothing else makes them cross.

use crate::database::Database;
use crate::gate::Gate;
use crate::session::{Running, Session};

pub struct Crossing {
    gate: Gate,
}

impl Crossing {
    #[track_caller]
    pub fn of(db: &Database) -> Self {
        db.session().run(&format!(
            "CREATE TABLE crossing (id int PRIMARY KEY, hits int NOT NULL DEFAULT 0);
             INSERT INTO crossing VALUES (1), (2);

             CREATE FUNCTION cross_rows(first int, second int) RETURNS void LANGUAGE plpgsql AS $$
             BEGIN
                 UPDATE public.crossing SET hits = hits + 1 WHERE id = first;
                 PERFORM {passage};
                 UPDATE public.crossing SET hits = hits + 1 WHERE id = second;
             END $$;

             CREATE FUNCTION cross_on_job() RETURNS trigger LANGUAGE plpgsql AS $$
             DECLARE
                 way int[] := string_to_array(nullif(current_setting('crossing.way', true), ''), ',');
             BEGIN
                 IF way IS NOT NULL THEN
                     PERFORM public.cross_rows(way[1], way[2]);
                 END IF;
                 RETURN NULL;
             END $$;
             CREATE TRIGGER cross_on_job AFTER INSERT OR UPDATE ON foreman.live_job
                 FOR EACH ROW EXECUTE FUNCTION cross_on_job();",
            passage = Gate::passage()
        ));
        Self { gate: db.gate() }
    }

    /// Sends both to the background, and lets them cross when each holds its first row.
    #[track_caller]
    pub fn collide<T: Send + 'static, U: Send + 'static>(
        &mut self,
        (one, work): (Session, impl FnOnce(&mut Session) -> T + Send + 'static),
        (other, others_work): (Session, impl FnOnce(&mut Session) -> U + Send + 'static),
    ) -> ((Session, T), (Session, U)) {
        self.gate.close();
        let one: Running<T> = one.background(work);
        let other: Running<U> = other.background(others_work);
        self.gate.open_for(2);
        (one.finish(), other.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cluster, sqlstate};

    #[test]
    fn two_that_collide_deadlock_and_the_impatient_one_is_the_victim() {
        let cluster = Cluster::start(&[]);
        let db = cluster.empty_database();
        db.session().run("CREATE SCHEMA foreman; CREATE TABLE foreman.live_job (id int)");
        let mut crossing = Crossing::of(&db);
        for _ in 0..5 {
            let (one, other) = (db.session(), db.session_with(&[("deadlock_timeout", "60s")]));
            let ((_, outcome), (_, others_outcome)) = crossing.collide(
                (one, |s| s.try_run("SELECT cross_rows(1, 2)")),
                (other, |s| s.try_run("SELECT cross_rows(2, 1)")),
            );
            assert_eq!(sqlstate(&outcome.expect_err("the victim")), "40P01");
            others_outcome.expect("the other goes on");
        }
        let log: Vec<_> = db.log().into_iter().filter(|entry| entry.level == "ERROR").collect();
        assert_eq!(log.len(), 5, "{log:#?}");
    }
}
