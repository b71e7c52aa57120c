//! The two spellings of a field in the mesh config: its decoder takes `outboundTrafficPolicy` and `outbound_traffic_policy`.
//! Source: protobuf's JSON mapping. Resources do not: the API server drops fields that their schema does not know.

use crate::yaml::{Node, Value};

/// Fields whose keys are the user's own.
const MAPS: [&str; 5] = ["proxyMetadata", "labels", "matchLabels", "to", "customTags"];

/// Spells all fields below `node` in lowerCamelCase. Where a field stands in both spellings, that one stays.
pub fn in_camel_case(node: &mut Node) {
    match &mut node.value {
        Value::Sequence(items) => items.iter_mut().for_each(in_camel_case),
        Value::Mapping(entries) => {
            let written: Vec<String> = entries
                .iter()
                .filter_map(|(key, _)| key.text().map(str::to_string))
                .collect();
            for (key, value) in entries {
                let Some(name) = key.text().map(camel_case) else {
                    continue;
                };
                if !MAPS.contains(&name.as_str()) {
                    in_camel_case(value);
                }
                if !written.contains(&name)
                    && let Value::Scalar(text, _) = &mut key.value
                {
                    *text = name.into();
                }
            }
        }
        _ => {}
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_string();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn fields_are_spelt_one_way_and_keys_of_maps_as_they_are() {
        let text = "default_config: {proxy_metadata: {a_b: 1}}\nlist_of: [{one_two: 1, oneTwo: 2}]\nplain: {x: y_z}\n";
        let mut document = yaml::read(text.as_bytes()).unwrap().remove(0);
        in_camel_case(&mut document);
        assert_eq!(
            document.to_json(),
            serde_json::json!({
                "defaultConfig": {"proxyMetadata": {"a_b": 1}},
                "listOf": [{"one_two": 1, "oneTwo": 2}],
                "plain": {"x": "y_z"},
            })
        );
    }
}
