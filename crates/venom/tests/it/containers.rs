//! What is different in a container, shown with namespaces alone; the image itself is tested by
//! `make test-image`.

use crate::sandbox::{children_of, venom_in};
use crate::{everything, search, stdio, store, venom};
use std::time::{Duration, Instant};
use venom_testing::{Folder, HttpClient, Server};

/// Two containers share a volume: other host names, other paths, one memory.
#[test]
fn a_process_of_another_host_name_and_path_attaches_over_the_shared_folder() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.join("data")).unwrap();
    std::fs::create_dir_all(folder.join("volume")).unwrap();
    let prepare = "hostname elsewhere && mount --bind data volume";
    let Some(command) = venom_in(&folder, "--uts --mount", prepare) else {
        return;
    };
    let command = command.env("VENOM_DATA", folder.join("volume"));
    let port = venom_testing::process::free_port();
    let mut server = Server::start_with(command, folder.path(), port);
    let mut outside = stdio(&folder);
    store(&mut outside, "The tide table hangs in the hall");
    let mut inside = HttpClient::open(port).unwrap();
    assert_eq!(
        search(&mut inside, "when is high water"),
        ["The tide table hangs in the hall"]
    );
    // When the container goes, the other one takes over.
    server.process.kill();
    store(&mut outside, "The boat is moored at pier four");
    assert_eq!(everything(&folder).len(), 2);
}

/// A network share may have no sockets, and a read-only container has no other place for one.
#[test]
fn without_a_place_for_a_socket_a_server_serves_alone() {
    let folder = Folder::new();
    let data = folder.join(&"long".repeat(30)).join("data");
    let alone = || {
        venom(&folder, [])
            .env("VENOM_DATA", &data)
            .env("TMPDIR", folder.join("missing"))
            .env_remove("XDG_RUNTIME_DIR")
    };
    let port = venom_testing::process::free_port();
    let server = Server::start_with(alone(), folder.path(), port);
    server
        .process
        .log_with("other processes cannot use the data folder while this one does");
    let mut door = HttpClient::open(port).unwrap();
    store(&mut door, "The attic ladder squeaks");
    assert_eq!(
        search(&mut door, "what is noisy"),
        ["The attic ladder squeaks"]
    );
    drop(server);
    let kept = alone().args(["list"]).run().success();
    assert!(kept.contains("The attic ladder squeaks"), "{kept}");
}

/// The first process of a container inherits every orphan; their ends must be noticed.
#[test]
fn orphans_of_a_container_leave_no_zombies() {
    const TIME_MAX: Duration = Duration::from_secs(20);
    let folder = Folder::new();
    let Some(command) = venom_in(&folder, "--pid --fork --kill-child", "true") else {
        return;
    };
    let port = venom_testing::process::free_port();
    let server = Server::start_with(command, folder.path(), port);
    let first = children_of(server.process.id())[0];
    // As the end of a `docker exec` leaves them: the shell ends before its children do.
    let orphans = std::process::Command::new("nsenter")
        .args(["--target", &first.to_string(), "--pid", "sh", "-c"])
        .arg("for i in 1 2 3 4 5 6 7 8; do (cat | cat & ); done; echo started")
        .output()
        .unwrap();
    assert!(orphans.status.success(), "{orphans:?}");
    // Their output has ended, so they have, too; only their parent may not have noticed yet.
    let start = Instant::now();
    while let zombies @ [_, ..] = children_of(first).as_slice() {
        assert!(start.elapsed() < TIME_MAX, "zombies: {zombies:?}");
        let mut door = HttpClient::open(port).unwrap();
        search(&mut door, "still answering meanwhile");
    }
}
