//! The JSON schema of the configuration: editors complete and check recipes and `config.toml` with it.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};
use tallow_metrics::Metric;

use super::RunConfig;

/// The schema of a recipe or a run's `config.toml`, as JSON Schema draft 7.
///
/// No key is required where a lower layer gives it: a recipe that sets `optim.lr` alone keeps the optimiser's name.
pub fn schema() -> Value {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<RunConfig>();
    let mut schema = schema.to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "Configuration of a Tallow run".into());
    }
    relax(&mut schema);
    schema
}

/// Names of metrics by which training can select epochs.
pub(super) fn metric(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": Metric::selectable() })
}

/// Makes the keys optional that layers below a file supply. Without `name`, several variants of a table may match.
fn relax(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(relax),
        Value::Object(table) => {
            if let Some(Value::Array(keys)) = table.get_mut("required") {
                keys.retain(|key| !["name", "lr", "weight_decay"].iter().any(|given| key == given));
            }
            if table.get("oneOf").is_some_and(chosen_by_name) {
                rename(table, "oneOf", "anyOf");
            }
            table.values_mut().for_each(relax);
        }
        _ => {}
    }
}

/// Whether the variants differ by their key `name`.
fn chosen_by_name(variants: &Value) -> bool {
    let named = |variant: &Value| variant.pointer("/properties/name/const").is_some();
    variants.as_array().is_some_and(|variants| variants.iter().all(named))
}

fn rename(table: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = table.remove(from) {
        table.insert(to.to_owned(), value);
    }
}
