//! The schema of the configuration that editors use is current.

use std::path::Path;

#[test]
fn the_committed_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.schema.json");
    let current = format!("{:#}\n", tallow_train::config::schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &current).expect("docs can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "docs/config.schema.json is outdated; UPDATE_SCHEMA=1 cargo test -p xtask schema writes it"
    );
}
