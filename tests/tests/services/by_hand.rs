//! A service whose three programs are started by hand, in any order.

use tests::hand::Hand;
use tests::place::Transport;
use tests::runs::pipeline;
use tests::wait;

#[test]
fn a_service_by_hand_refuses_calls_without_workers_and_answers_them_with_one() {
    for transport in [Transport::Ipc, Transport::Tcp] {
        let hand = Hand::over(transport);
        let _sink = hand.aggregating_sink(&["--retain", "1h", "--run-dir", "run"]);
        let _ventilator = hand.ventilator("service", &["--run-dir", "run"]);
        let at = hand.ventilator_endpoint();
        wait::until("it is known to have no workers", || {
            let told = pipeline(&hand.place, &["call", at, "7", "--timeout", "100ms"]);
            (told.code == Some(69) && told.stderr.contains("no workers")).then_some(())
        });
        let ticket = pipeline(&hand.place, &["submit", at, "9", "--wait-for-workers"]);
        assert_eq!(ticket.code, Some(0), "{}", ticket.stderr);
        let _worker = hand.worker(&["--run", "square"]);
        let args = ["result", ticket.stdout.trim(), "--wait", "--service", at];
        let told = pipeline(&hand.place, &args);
        assert_eq!((told.code, told.stdout.as_str()), (Some(0), "81\n"), "{}", told.stderr);
        wait::until("it takes calls", || {
            (pipeline(&hand.place, &["call", at, "7"]).stdout == "49\n").then_some(())
        });
    }
}
