//! Rows of the server's catalogs, looked up by their numbers in what the session keeps of them.

use super::compat::bare;
use pgrx::pg_sys;
use pgrx::pg_sys::SysCacheIdentifier::{AUTHOID, DATABASEOID, RELOID, Type};
use std::collections::HashSet;

/// How many connections a database may have, if it has a limit.
pub fn connection_limit(database: u32) -> Option<i32> {
    // SAFETY: the look-up is for databases.
    let limit = unsafe { read(DATABASEOID, database, |database: &pg_sys::FormData_pg_database| database.datconnlimit) };
    // -2 marks one whose DROP was interrupted.
    limit.filter(|limit| *limit > 0)
}

/// A role, as far as it counts.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// Whose sessions count against no limit.
    pub is_superuser: bool,
    /// How many connections it may have, if it has a limit.
    pub limit: Option<i32>,
}

/// What a role is; `None` where there is none of this number.
pub fn role(oid: u32) -> Option<Role> {
    // SAFETY: the look-up is for roles.
    unsafe {
        read(AUTHOID, oid, |role: &pg_sys::FormData_pg_authid| Role {
            is_superuser: role.rolsuper,
            limit: Some(role.rolconnlimit).filter(|limit| *limit > 0 && !role.rolsuper),
        })
    }
}

/// Who owns a table, an index or a view; `None` where there is none of this number.
pub fn owner(relation: u32) -> Option<u32> {
    // SAFETY: the look-up is for relations.
    unsafe { read(RELOID, relation, |relation: &pg_sys::FormData_pg_class| relation.relowner.to_u32()) }
}

/// The partitions of a table; one that is being detached is none any more. In a transaction.
pub fn children(table: u32) -> HashSet<u32> {
    let mut children = HashSet::new();
    // SAFETY: a catalog look-up without locks; it answers NULL or a list of oids in the current memory context. No Rust value
    // is in the way of an error.
    unsafe {
        let lock = pg_sys::NoLock as pg_sys::LOCKMODE;
        let list = pg_sys::ffi::pg_guard_ffi_boundary(|| bare::find_inheritance_children(table.into(), lock));
        if let Some(list) = list.as_ref() {
            children.extend((0..list.length as usize).map(|place| (*list.elements.add(place)).oid_value.to_u32()));
        }
    }
    children
}

/// Reads the row of this number in a catalog. In a transaction.
///
/// # Safety
/// `cache` looks up rows by an oid whose fixed part is an `F`.
unsafe fn read<F, T>(cache: Type, oid: u32, take: impl FnOnce(&F) -> T) -> Option<T> {
    // SAFETY: as the caller says; the row is pinned until it is released.
    unsafe {
        let row = pg_sys::SearchSysCache1(cache as core::ffi::c_int, oid.into());
        if row.is_null() {
            return None;
        }
        let taken = take(&*pg_sys::GETSTRUCT(row).cast::<F>());
        pg_sys::ReleaseSysCache(row);
        Some(taken)
    }
}
