//! What sessions wait for inside the server.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::rates;
use crate::shared::samples::{Figure, Span};

pub const CHECK: Check = Check {
    name: "wait_events",
    unit: "sessions",
    direction: Direction::Above,
    warn: None,
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many sessions waited for something inside the server, on the average of the last ten readings, which are one \
            a minute: for lightweight locks and pins of pages, for the disk, or for another process (IPC, such as a \
            synchronous standby). How many ran a statement, and how many of them waited for another's lock, is told beside \
            it. How many are too many depends on the machine, so it has no threshold until it is given one: twice the number of \
            its cores is a beginning.",
    advice: "Look several times at SELECT wait_event_type, wait_event, count(*) FROM pg_stat_activity WHERE state = 'active' \
             GROUP BY 1, 2: fewer sessions at a time (a pooler) where it is LWLock, faster disks or more memory where it is IO, \
             the standby where it is SyncRep.",
    run: Run::Fast(|_| rates::over(rates::SOME, measure)),
};

/// The averages.
fn measure(span: &Span) -> Measure {
    let looks = span.growth(Figure::SessionLooks);
    if looks == 0.0 {
        return rates::hidden_sessions();
    }
    let average = |figure: Figure| span.growth(figure) / looks;
    let [lightweight, disk, others] = [Figure::OnLightweight, Figure::OnDisk, Figure::OnProcesses].map(average);
    let meaning = format!(
        "On the average of the last {:.1} minutes {:.1} sessions ran a statement. Of them {lightweight:.1} waited for \
         lightweight locks, {disk:.1} for the disk, {others:.1} for other processes, {:.1} for a lock.",
        span.minutes(),
        average(Figure::Running),
        average(Figure::OnLocks),
    );
    let remedy = "SELECT wait_event_type, wait_event, count(*) FROM pg_stat_activity WHERE state = 'active' GROUP BY 1, 2;";
    rates::told(lightweight + disk + others, meaning, remedy)
}
