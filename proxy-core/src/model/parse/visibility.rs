//! Whose objects the control plane sees, and to whom it shows them, as the mesh config says.

use super::{cursor::Cursor, service_entry::choice};
use crate::model::{EntryVisibility, LabelExpression, LabelOperator, LabelSelector, VisibilityPolicy, VisibleTo};

/// `discoverySelectors`.
pub fn discovery_selectors(mesh: Cursor<'_>) -> Vec<LabelSelector> {
    mesh.mappings("discoverySelectors", |selector| Some(label_selector(selector)))
}

/// `serviceEntryVisibility`, where sidecars heed it.
pub fn entry_visibility(mesh: Cursor<'_>) -> Option<EntryVisibility> {
    let written = mesh.mapping("serviceEntryVisibility")?;
    let entries = EntryVisibility {
        default: visible_to(written, "defaultVisibility"),
        policies: written.mappings("policies", |policy| {
            Some(VisibilityPolicy {
                visible_to: visible_to(policy, "visibility"),
                rules: policy.mappings("matchingRules", |rule| {
                    Some(rule.mapping("namespaceSelector").map(label_selector))
                }),
            })
        }),
    };
    written
        .boolean("applyToSidecars")
        .unwrap_or_default()
        .then_some(entries)
}

fn visible_to(owner: Cursor<'_>, key: &str) -> VisibleTo {
    let values = [
        ("VISIBILITY_UNSPECIFIED", VisibleTo::All),
        ("PUBLIC", VisibleTo::All),
        ("NAMESPACE", VisibleTo::Namespace),
        ("NONE", VisibleTo::Nobody),
    ];
    choice(owner, key, &values).unwrap_or(VisibleTo::All)
}

fn label_selector(selector: Cursor<'_>) -> LabelSelector {
    LabelSelector {
        labels: selector.labels("matchLabels"),
        expressions: selector.mappings("matchExpressions", |expression| {
            let operators = [
                ("In", LabelOperator::In),
                ("NotIn", LabelOperator::NotIn),
                ("Exists", LabelOperator::Exists),
                ("DoesNotExist", LabelOperator::DoesNotExist),
            ];
            if !expression.has("operator") {
                expression.error("expected an operator: In, NotIn, Exists or DoesNotExist");
            }
            Some(LabelExpression {
                key: expression.text("key").unwrap_or_default().to_string(),
                operator: choice(expression, "operator", &operators)?,
                values: expression.texts("values"),
            })
        }),
    }
}
