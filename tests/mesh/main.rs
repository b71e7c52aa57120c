//! What the product relies on, as a real mesh does it. Where none can be had, the tests are ignored, with the reason; with
//! `EGRET_REQUIRE_MESH` set they fail instead.

// The whole crate is a test: a panic is how it reports.
#![allow(clippy::unwrap_used)]

mod access_log;
mod api;
mod beside;
mod clicks;
mod connect;
mod delivered;
mod deployed;
mod deploying;
mod flood;
mod ipv6;
mod kills;
mod large;
mod own;
mod pod;
mod registry;
mod runas;
#[path = "../desktop/session.rs"]
mod session;
#[path = "../desktop/stage.rs"]
mod stage;
mod story;
mod trying;
// The desktop's own story needs more of it.
#[allow(dead_code)]
#[path = "../desktop/window.rs"]
mod window;

use std::sync::Arc;

use egret_tests::mesh::{Api, Mesh, NotUp, Shared};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() {
    let mut arguments = Arguments::from_args();
    // One after the other: some stop the server that others need.
    arguments.test_threads = Some(1);
    let (api, mesh) = (Arc::new(Shared::new(Api::up)), Arc::new(Shared::new(Mesh::up)));
    let conclusion = libtest_mimic::run(
        &arguments,
        vec![
            alone(
                "registry::takes_an_image_from_who_may_push",
                registry::takes_an_image_from_who_may_push,
            ),
            alone(
                "registry::gives_tokens_to_who_may_push",
                registry::gives_tokens_to_who_may_push,
            ),
            alone(
                "registry::is_trusted_by_its_certificate",
                registry::is_trusted_by_its_certificate,
            ),
            trial(
                "api::viewer_reads_and_does_not_write",
                &api,
                api::viewer_reads_and_does_not_write,
            ),
            trial(
                "api::editor_writes_what_istio_knows",
                &api,
                api::editor_writes_what_istio_knows,
            ),
            trial(
                "api::server_comes_back_with_what_it_knew",
                &api,
                api::server_comes_back_with_what_it_knew,
            ),
            trial(
                "runas::a_cluster_is_a_folder_without_a_window",
                &api,
                runas::a_cluster_is_a_folder_without_a_window,
            ),
            trial(
                "runas::what_a_window_would_ask_about_is_refused_without_one",
                &api,
                runas::what_a_window_would_ask_about_is_refused_without_one,
            ),
            trial(
                "runas::variables_are_taken_over_and_secret_ones_only_after_a_word_of_their_own",
                &api,
                runas::variables_are_taken_over_and_secret_ones_only_after_a_word_of_their_own,
            ),
            trial(
                "runas::an_ordinary_user_has_the_files_of_a_workload",
                &api,
                runas::an_ordinary_user_has_the_files_of_a_workload,
            ),
            trial("a_kubeconfig_by_clicking", &api, connect::story),
            trial("story", &mesh, story::story),
            trial(
                "runas::a_command_in_the_place_of_a_clusters_workload",
                &mesh,
                runas::a_command_in_the_place_of_a_clusters_workload,
            ),
            with_image("a_policy_for_a_pod", &mesh, pod::story),
            with_image("a_large_policy_and_dns_for_a_pod", &mesh, large::story),
            trial("the_story_by_clicking", &mesh, clicks::story),
            trial("test_requests_from_any_pod", &mesh, trying::story),
            with_image("an_image_is_delivered_by_clicking", &mesh, delivered::story),
            with_image("a_sidecar_beside_a_workload_by_clicking", &mesh, deployed::story),
            with_image("app_sidecar_and_api_server_are_killed", &mesh, kills::story),
            with_image("ipv6_of_a_pod_meets_the_sidecar", &mesh, ipv6::story),
            with_image("a_copy_and_istios_envoy_do_the_same", &mesh, beside::story),
            trial("a_flood_of_lines_comes_whole", &mesh, flood::every_line_comes),
            trial(
                "access_log_is_switched_on_and_ends_by_clicking",
                &mesh,
                access_log::switched_on_and_ended,
            ),
        ],
    );
    // Before `exit`, which drops nothing.
    drop((api, mesh));
    conclusion.exit();
}

/// A test on a mesh that needs the sidecar's image too.
fn with_image(name: &str, mesh: &Arc<Shared<Mesh>>, test: fn(&Mesh)) -> Trial {
    match pod::archive() {
        Ok(_) => trial(name, mesh, test),
        Err(reason) if std::env::var_os("EGRET_REQUIRE_MESH").is_some() => {
            Trial::test(name, move || Err(Failed::from(reason)))
        }
        Err(reason) => Trial::ignorable_test(name, move || Ok(Completion::ignored_with(reason))),
    }
}

/// A test that starts what it needs itself.
fn alone(name: &str, test: fn() -> Result<(), NotUp>) -> Trial {
    Trial::ignorable_test(name, move || match test() {
        Ok(()) => Ok(Completion::Completed),
        Err(NotUp::Lacking(reason)) => Ok(Completion::ignored_with(reason)),
        Err(NotUp::Failed(reason)) => Err(Failed::from(reason)),
    })
}

/// A test on something that is shared.
fn trial<T: Send + Sync + 'static>(name: &str, shared: &Arc<Shared<T>>, test: fn(&T)) -> Trial {
    let shared = Arc::clone(shared);
    Trial::ignorable_test(name, move || match shared.get() {
        Ok(up) => {
            test(up);
            Ok(Completion::Completed)
        }
        Err(NotUp::Lacking(reason)) => Ok(Completion::ignored_with(reason)),
        Err(NotUp::Failed(reason)) => Err(Failed::from(reason)),
    })
}
