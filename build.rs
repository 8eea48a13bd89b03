//! Names the differences between server versions once, for `src/pg/compat.rs`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(has_summarizing_indexes)");
    println!("cargo::rustc-check-cfg=cfg(has_transaction_timeout, has_proc_number)");
    println!("cargo::rustc-check-cfg=cfg(has_backend_pqsignal)");
    println!("cargo::rustc-check-cfg=cfg(has_scan_instrumentation)");
    let has = |feature: &str| std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    if has("PG16") || has("PG17") || has("PG18") {
        println!("cargo::rustc-cfg=has_summarizing_indexes");
    }
    if has("PG18") {
        println!("cargo::rustc-cfg=has_scan_instrumentation");
        println!("cargo::rustc-cfg=has_backend_pqsignal");
    }
    if has("PG17") || has("PG18") {
        println!("cargo::rustc-cfg=has_transaction_timeout");
        println!("cargo::rustc-cfg=has_proc_number");
    }
}
