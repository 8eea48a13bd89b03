//! Working as another role.

use pgrx::pg_sys;

/// The role as it was; back again when this is dropped. A rollback puts it back by itself.
pub struct Identity {
    role: pg_sys::Oid,
    context: core::ffi::c_int,
}

impl Identity {
    /// From here on the session works as this role, and can't get out of it by SQL. In a transaction.
    pub fn of(role: u32) -> Identity {
        let mut before = Identity { role: pg_sys::InvalidOid, context: 0 };
        // SAFETY: reads and sets two variables of this backend's.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut before.role, &mut before.context);
            pg_sys::SetUserIdAndSecContext(
                role.into(),
                before.context | pg_sys::SECURITY_RESTRICTED_OPERATION as core::ffi::c_int,
            );
        }
        before
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        // SAFETY: as in `of`; it can't raise.
        unsafe { pg_sys::SetUserIdAndSecContext(self.role, self.context) };
    }
}
