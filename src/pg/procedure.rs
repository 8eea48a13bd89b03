//! What a procedure has to know of its CALL.

use pgrx::pg_sys;

/// How the server called: the last argument of a function that asks for it.
pub type Invocation = pg_sys::FunctionCallInfo;

/// Whether the procedure may end the present transaction: not in a transaction block, nor inside a function.
pub fn may_commit(invocation: Invocation) -> bool {
    // SAFETY: the server's own record of this call, alive as long as that is. For CALL its context is a CallContext.
    unsafe {
        let context = (*invocation).context;
        !context.is_null()
            && (*context).type_ == pg_sys::NodeTag::T_CallContext
            && !(*context.cast::<pg_sys::CallContext>()).atomic
            && pg_sys::GetCurrentTransactionNestLevel() == 1
    }
}
