//! The server's databases, as a process that is connected to none of them can read them.

use pgrx::pg_sys;

/// The oids of the databases that one may connect to. In a transaction of the caller's.
pub fn connectable() -> Vec<u32> {
    let mut oids = Vec::new();
    // SAFETY: pg_database is shared by all databases, and its description is built into the server. The scan takes a
    // catalog snapshot of its own; a tuple is valid until the next one is asked for, and its fixed part is what the
    // struct says. Pushing may abort the process for want of memory, and can't raise.
    unsafe {
        let table = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::table_beginscan_catalog(table, 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            let data = (*tuple).t_data;
            let database = &*data.cast::<u8>().add(usize::from((*data).t_hoff)).cast::<pg_sys::FormData_pg_database>();
            // -2 marks one whose DROP was interrupted.
            if database.datallowconn && database.datconnlimit != -2 {
                oids.push(database.oid.to_u32());
            }
        }
        pg_sys::heap_endscan(scan);
        pg_sys::table_close(table, pg_sys::AccessShareLock as i32);
    }
    oids
}
