//! Quotas, with time that only the tests let pass.

use std::net::Ipv6Addr;
use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::testing;

const HOME: &str = "192.0.2.1";

fn quotas(settings: QuotaSettings) -> Arc<Quotas> {
    Quotas::new(&QuotaSettings { max_connections: settings.max_connections.or(Some(0)), ..settings })
}

fn admit(quotas: &Arc<Quotas>, ip: &str) -> Result<Arc<Admission>, OverLimit> {
    quotas.admit(Some(ip.parse().unwrap()))
}

/// How often `take` succeeds before it fails, and the failure.
fn how_often(take: impl Fn() -> Result<(), OverLimit>) -> (usize, OverLimit) {
    for count in 0..100_000 {
        if let Err(over) = take() {
            return (count, over);
        }
    }
    panic!("there is no limit");
}

#[tokio::test(start_paused = true)]
async fn one_connection_more_than_the_limit_is_refused_until_another_has_ended() {
    let quotas = quotas(QuotaSettings { address_connections: 2, ..QuotaSettings::default() });
    let (one, _two) = (admit(&quotas, HOME).unwrap(), admit(&quotas, HOME).unwrap());
    assert_eq!(admit(&quotas, HOME).unwrap_err(), OverLimit::Connections(2));
    admit(&quotas, "192.0.2.2").unwrap();
    drop(one);
    admit(&quotas, HOME).unwrap();
}

#[tokio::test(start_paused = true)]
async fn as_many_places_are_held_as_there_may_be_connections_and_neither_is_in_the_way_of_the_other() {
    let quotas = quotas(QuotaSettings { address_connections: 2, max_connections: Some(3), ..QuotaSettings::default() });
    let (home, other) = (admit(&quotas, HOME).unwrap(), admit(&quotas, "192.0.2.2").unwrap());
    let hold = |admission: &Admission| quotas.hold(admission.address());
    let (one, _two) = (hold(&home).unwrap(), hold(&home).unwrap());
    assert!(hold(&home).is_none());
    let _second = admit(&quotas, HOME).unwrap();
    let three = hold(&other).unwrap();
    assert!(hold(&other).is_none() && quotas.hold(None).is_none(), "as many in all");
    drop((one, three));
    assert!(hold(&home).is_some());
    drop((home, other));
    let _last = quotas.hold(None).unwrap();
    assert_eq!(quotas.addresses(), 1);
}

#[tokio::test(start_paused = true)]
async fn mapped_addresses_are_ipv4_and_ipv6_counts_by_its_64() {
    let quotas = quotas(QuotaSettings { address_connections: 1, ..QuotaSettings::default() });
    let _four = admit(&quotas, HOME).unwrap();
    assert!(admit(&quotas, "::ffff:192.0.2.1").is_err());
    let _six = admit(&quotas, "2001:db8:0:1::1").unwrap();
    assert!(admit(&quotas, "2001:db8:0:1:ffff::2").is_err());
    assert!(admit(&quotas, "2001:db8:0:2::1").is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_has_no_address_counts_only_among_all() {
    let quotas = quotas(QuotaSettings { address_connections: 1, max_connections: Some(3), ..QuotaSettings::default() });
    let _open: Vec<_> = (0..3).map(|_| quotas.admit(None).unwrap()).collect();
    assert_eq!(quotas.admit(None).unwrap_err(), OverLimit::All(3));
    assert_eq!(admit(&quotas, HOME).unwrap_err(), OverLimit::All(3));
    assert_eq!(quotas.addresses(), 0, "a refused address is not remembered");
}

#[tokio::test(start_paused = true)]
async fn a_client_behind_a_proxy_counts_by_its_own_address_and_once_among_all() {
    let quotas = quotas(QuotaSettings { address_connections: 1, max_connections: Some(2), ..QuotaSettings::default() });
    let (proxy, again) = (quotas.admit(None).unwrap(), quotas.admit(None).unwrap());
    let client = |proxy| quotas.admit_client(Some(proxy), Some(HOME.parse().unwrap()));
    let named = client(&proxy).unwrap();
    assert_eq!(client(&again).unwrap_err(), OverLimit::Connections(1));
    drop(named);
    client(&again).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_behind_a_proxy_counts_among_all_until_it_ends_and_not_only_until_the_requests_do() {
    let quotas = quotas(QuotaSettings { max_connections: Some(2), ..QuotaSettings::default() });
    let open = || quotas.open.load(Relaxed);
    let (proxy, other) = (quotas.admit(None).unwrap(), admit(&quotas, HOME).unwrap());
    let client = quotas.admit_client(Some(&proxy), Some("192.0.2.2".parse().unwrap())).unwrap();
    client.succeed(&proxy);
    drop(proxy);
    assert_eq!(open(), 2);
    assert_eq!(quotas.admit(None).unwrap_err(), OverLimit::All(2));
    drop(client);
    assert_eq!(open(), 1);
    // Without a proxy it is the same one.
    let client = quotas.admit_client(Some(&other), Some(HOME.parse().unwrap())).unwrap();
    client.succeed(&other);
    drop(other);
    assert_eq!(open(), 1);
    drop(client);
    assert_eq!(open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_proxy_has_its_admission_already() {
    let quotas = quotas(QuotaSettings { address_connections: 1, ..QuotaSettings::default() });
    let connection = admit(&quotas, HOME).unwrap();
    quotas.admit_client(Some(&connection), Some(HOME.parse().unwrap())).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_thousand_upgrades_pass_at_once_and_then_a_hundred_a_second() {
    let quotas = quotas(QuotaSettings::default());
    let home = admit(&quotas, HOME).unwrap();
    let (count, over) = how_often(|| home.take_upgrade());
    assert_eq!((count, over.retry_after(), over.is_rate()), (1_000, 1, true));
    assert_eq!(how_often(|| home.take_handshake().map(drop)).0, 1_000, "handshakes count on their own");
    assert_eq!(how_often(|| admit(&quotas, "192.0.2.2")?.take_upgrade()).0, 1_000, "and other addresses too");
    advance(Duration::from_secs(1)).await;
    assert_eq!(how_often(|| home.take_upgrade()).0, 100);
}

#[tokio::test(start_paused = true)]
async fn a_failed_join_counts_as_ten() {
    let quotas = quotas(QuotaSettings::default());
    let home = admit(&quotas, HOME).unwrap();
    let address = home.address().unwrap();
    let fails = || {
        address.take_join()?;
        address.charge_failed_join();
        Ok(())
    };
    assert_eq!(how_often(fails).0, 1_000 / limits::FAILED_JOIN as usize);
    advance(Duration::from_secs(1)).await;
    assert_eq!(how_often(fails).0, 100 / limits::FAILED_JOIN as usize);
}

#[tokio::test(start_paused = true)]
async fn bytes_beyond_the_burst_of_an_address_are_read_later() {
    let quotas = quotas(QuotaSettings { address_bytes: 1_000, ..QuotaSettings::default() });
    let (one, two) = (admit(&quotas, HOME).unwrap(), admit(&quotas, HOME).unwrap());
    let (one, two) = (one.address().unwrap(), two.address().unwrap());
    one.take_bytes(16_000, Instant::now());
    assert_eq!(two.pause(Instant::now()), None);
    one.take_bytes(500, Instant::now());
    assert_eq!(two.pause(Instant::now()), Some(Duration::from_millis(500)));
    advance(Duration::from_millis(500)).await;
    assert_eq!(two.pause(Instant::now()), None);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_is_none() {
    let none =
        QuotaSettings { address_connections: 0, address_upgrades: 0, address_joins: 0, ..QuotaSettings::default() };
    let quotas = quotas(QuotaSettings { address_bytes: 0, max_connections: Some(0), ..none });
    let open: Vec<_> = (0..5_000).map(|_| admit(&quotas, HOME).unwrap()).collect();
    for admission in &open {
        let address = admission.address().unwrap();
        admission.take_upgrade().unwrap();
        admission.take_handshake().unwrap();
        address.take_join().unwrap();
        address.take_bytes(usize::MAX, Instant::now());
        assert_eq!(address.pause(Instant::now()), None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_is_forgotten_when_it_is_idle_and_its_limits_have_refilled() {
    let quotas = quotas(QuotaSettings::default());
    let home = admit(&quotas, HOME).unwrap();
    how_often(|| home.take_upgrade());
    advance(Duration::from_secs(3600)).await;
    assert_eq!(quotas.addresses(), 1, "it has a connection");
    how_often(|| home.take_upgrade());
    drop(home);
    advance(Duration::from_secs(9)).await;
    assert_eq!(quotas.addresses(), 1, "it has used its limits");
    advance(Duration::from_secs(1)).await;
    assert_eq!(quotas.addresses(), 0);
}

fn numbered(number: usize) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits((0x2001 << 112) | ((number as u128) << 64)))
}

#[tokio::test(start_paused = true)]
async fn the_table_is_bounded_however_many_addresses_come_and_go_and_those_with_connections_do_not_count() {
    const STAY: usize = 100;
    let quotas = quotas(QuotaSettings::default());
    let stay: Vec<_> = (0..STAY).map(|number| quotas.admit(Some(numbered(number))).unwrap()).collect();
    let mut largest = 0;
    for number in STAY..2 * limits::ADDRESSES {
        quotas.admit(Some(numbered(number))).unwrap().take_upgrade().unwrap();
        largest = largest.max(quotas.addresses.len());
    }
    assert_eq!(largest, limits::ADDRESSES + STAY);
    assert!((0..STAY).all(|number| quotas.addresses.contains_key(&Network::from(numbered(number)))));
    drop(stay);
    advance(limits::ADDRESS_SWEEP).await;
    assert_eq!(quotas.addresses(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_the_table_counts_among_all_and_for_no_address() {
    let entry = size_of::<Network>() + size_of::<usize>() + size_of::<Address>() + size_of::<Account>();
    // The table may be half empty, and two counts belong to each.
    let most = entry + size_of::<Network>() + size_of::<usize>() + 4 * size_of::<usize>();
    assert!(most <= limits::ADDRESS_ENTRY_BYTES, "{most}");
    let quotas = quotas(QuotaSettings::default());
    let come_and_go = |numbers: std::ops::Range<usize>| {
        numbers.for_each(|number| quotas.admit(Some(numbered(number))).unwrap().take_upgrade().unwrap());
    };
    come_and_go(0..1_000);
    let counted = 1_000 * limits::ADDRESS_ENTRY_BYTES;
    assert!((counted..counted + crate::budget::LUMP).contains(&quotas.pinned()), "{}", quotas.pinned());
    advance(limits::ADDRESS_SWEEP).await;
    assert_eq!((quotas.addresses(), quotas.pinned()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn half_as_many_idle_addresses_as_the_table_holds_survive_a_sweep_and_of_more_none() {
    const HALF: usize = limits::ADDRESSES / 2;
    let quotas = quotas(QuotaSettings::default());
    let _stays = admit(&quotas, HOME).unwrap();
    let comes_and_goes = |number| quotas.admit(Some(numbered(number))).unwrap().take_upgrade().unwrap();
    (0..HALF).for_each(comes_and_goes);
    assert_eq!(quotas.addresses(), HALF + 1);
    comes_and_goes(HALF);
    assert_eq!(quotas.addresses(), 1);
}

#[test]
fn who_asked_for_more_than_there_is_waits_and_who_asked_too_often_waits_as_long_as_it_takes() {
    for over in [OverLimit::Connections(1), OverLimit::All(1)] {
        assert_eq!((over.retry_after(), over.is_rate()), (limits::REFUSED_RETRY.as_secs() + 1, false));
    }
    let wait = Duration::from_millis(2_500);
    for over in [OverLimit::Upgrades(wait), OverLimit::Handshakes(wait), OverLimit::Joins(wait)] {
        assert_eq!((over.retry_after(), over.is_rate()), (3, true));
    }
}

#[tokio::test(start_paused = true)]
async fn lines_about_refusals_are_rationed_by_address_and_those_about_a_full_relay_for_all_together() {
    let quotas = quotas(QuotaSettings { address_connections: 1, ..QuotaSettings::default() });
    let ip = |text: &str| Some(text.parse().unwrap());
    let lines = |ip, over| (0..10_000).filter(|_| quotas.may_log_refusal(ip, over)).count();
    let most = limits::ADDRESS_LINES as usize;
    let _home = admit(&quotas, HOME).unwrap();
    assert_eq!(lines(ip(HOME), OverLimit::Connections(1)), most);
    assert_eq!(lines(ip(HOME), OverLimit::All(1)), most);
    assert_eq!(lines(ip("192.0.2.2"), OverLimit::All(1)), 0);
    assert_eq!(lines(ip("192.0.2.2"), OverLimit::Memory), 0, "it has no connection, so the memory is that of all");
    assert_eq!(lines(None, OverLimit::Memory), most);
}

#[tokio::test(start_paused = true)]
async fn clients_without_an_address_share_the_lines_of_one() {
    let quotas = quotas(QuotaSettings::default());
    let (one, other) = (quotas.admit(None).unwrap(), quotas.admit(None).unwrap());
    let lines = |count: usize| (0..count).filter(|_| one.may_log() || other.may_log()).count();
    assert_eq!(lines(10_000), limits::ADDRESS_LINES as usize);
    assert!(admit(&quotas, HOME).unwrap().may_log());
    let left_out = 2 * (10_000 - limits::ADDRESS_LINES);
    let said = testing::log_of(|| quotas.report_left_out());
    assert!(said.contains("clients without an address") && said.contains(&format!("lines={left_out}")), "{said}");
    advance(Duration::from_secs(60)).await;
    assert_eq!(lines(10_000), limits::ADDRESS_LINES_A_MINUTE as usize);
}

#[tokio::test(start_paused = true)]
async fn the_log_says_how_many_lines_were_left_out_and_says_it_once() {
    let quotas = quotas(QuotaSettings::default());
    let home = admit(&quotas, HOME).unwrap();
    let lines = |count: u32| {
        testing::log_of(|| {
            for _ in 0..count {
                home.may_log();
            }
        })
    };
    assert_eq!(lines(limits::ADDRESS_LINES) + &lines(7), "", "not before a line that is logged");
    advance(Duration::from_secs(1)).await;
    let said = lines(1);
    assert!(said.contains("left out lines about this address lines=7"), "{said}");
    assert_eq!(lines(3), "");
    let report = || testing::log_of(|| quotas.report_left_out());
    let said = report();
    assert!(said.contains("lines=3") && said.contains(HOME), "{said}");
    assert_eq!(report(), "");
}

#[tokio::test(start_paused = true)]
async fn lines_of_the_log_about_one_address_are_rationed_and_counted() {
    let quotas = quotas(QuotaSettings::default());
    let home = admit(&quotas, HOME).unwrap();
    let lines = |count: usize| (0..count).filter(|_| home.may_log()).count();
    assert_eq!(lines(10_000), limits::ADDRESS_LINES as usize);
    let left_out = || home.address().unwrap().lines.left_out.load(Relaxed);
    assert_eq!(left_out(), 10_000 - u64::from(limits::ADDRESS_LINES));
    advance(Duration::from_secs(60)).await;
    assert_eq!(lines(10_000), limits::ADDRESS_LINES_A_MINUTE as usize);
    assert_eq!(left_out(), 10_000 - u64::from(limits::ADDRESS_LINES_A_MINUTE), "the earlier ones were said");
    drop(home);
    advance(limits::ADDRESS_SWEEP).await;
    admit(&quotas, "192.0.2.2").unwrap();
    let left_out =
        quotas.addresses.get(&Network::from(HOME.parse::<IpAddr>().unwrap())).unwrap().lines.left_out.load(Relaxed);
    assert_eq!(left_out, 0, "a sweep says what nobody else says");
}

#[tokio::test(start_paused = true)]
async fn few_refusals_are_written_at_a_time_and_this_machine_has_some_of_its_own() {
    let quotas = quotas(QuotaSettings::default());
    let refuse = |address: &str| {
        let connection = address.parse().map_or_else(|_| ConnectionInfo::unix(), ConnectionInfo::tcp);
        quotas.refuse(OverLimit::All(1), connection)
    };
    let mut refused: Vec<_> = std::iter::from_fn(|| refuse("192.0.2.1:1")).collect();
    let seat = refused.pop();
    assert_eq!(refused.len(), limits::REFUSED_AT_ONCE);
    let checks: Vec<_> = std::iter::from_fn(|| refuse("unix")).collect();
    assert_eq!(checks.len(), limits::HEALTH_CHECKS);
    // One more of each other address, of a few at a time.
    let mut monitors = Vec::new();
    for number in 1..limits::HEALTH_CHECK_ADDRESSES {
        monitors.push(refuse(&format!("198.51.100.{number}:1")).unwrap());
        assert!(refuse(&format!("198.51.100.{number}:2")).is_none());
    }
    assert!(refuse("203.0.113.1:1").is_none());
    drop(seat);
    assert!(refuse("203.0.113.1:1").is_some());
    assert!(refuse("192.0.2.1:1").is_some());
    drop(refused);
    assert!(refuse("198.51.100.1:2").is_some());
}

#[tokio::test(start_paused = true)]
async fn one_refused_connection_of_an_address_at_a_time_is_worth_a_handshake() {
    let quotas = quotas(QuotaSettings::default());
    let (one, other) = ("192.0.2.1:1".parse().map(ConnectionInfo::tcp).unwrap(), ConnectionInfo::unix());
    let mut first = quotas.refuse(OverLimit::All(1), one).unwrap();
    let mut second = quotas.refuse(OverLimit::All(1), one).unwrap();
    assert!(quotas.is_worth_a_handshake(&mut first, one));
    assert!(!quotas.is_worth_a_handshake(&mut second, one));
    drop(first);
    assert!(quotas.is_worth_a_handshake(&mut second, one));
    let mut local = quotas.refuse(OverLimit::All(1), other).unwrap();
    assert!(quotas.is_worth_a_handshake(&mut local, other));
}

#[test]
fn connections_leave_some_descriptors_to_the_rest() {
    assert_eq!([20_000, 1_024, 256, 20].map(|limit| connections_within(Some(limit))), [19_000, 960, 192, 10]);
    assert_eq!(connections_within(None), 0);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_has_pinned_its_memory_gets_no_connection_and_no_place_until_it_is_given_back() {
    let quotas = quotas(QuotaSettings { address_memory: MEBIBYTE, ..QuotaSettings::default() });
    let home = admit(&quotas, HOME).unwrap();
    let pinned = std::iter::from_fn(|| home.purse().charge(10_000)).collect::<Vec<_>>();
    assert_eq!(admit(&quotas, HOME).unwrap_err(), OverLimit::Memory);
    assert!(quotas.hold(home.address()).is_none());
    admit(&quotas, "192.0.2.2").unwrap();
    drop(home);
    assert_eq!(quotas.addresses(), 1, "what it left behind still counts");
    assert_eq!(admit(&quotas, HOME).unwrap_err(), OverLimit::Memory);
    drop(pinned);
    assert!(admit(&quotas, HOME).is_ok() && quotas.pinned() == 0);
    assert_eq!(quotas.addresses(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_held_place_whose_connection_is_gone_pins_what_it_needs_and_no_lump() {
    let quotas = quotas(QuotaSettings::default());
    let home = admit(&quotas, HOME).unwrap();
    let address = Arc::clone(home.address().unwrap());
    let (kept, written) = (home.purse().charge(3_000).unwrap(), home.purse().charge(9_000).unwrap());
    let place = quotas.hold(Some(&address)).unwrap();
    drop(home);
    drop(written);
    assert_eq!(address.memory.used(), kept.bytes() + limits::OWN_PLACE_BYTES);
    drop((place, kept));
    assert_eq!(address.memory.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn tls_pins_memory_while_the_charge_of_its_handshake_lives() {
    let settings = QuotaSettings { address_upgrades: 0, address_memory: MEBIBYTE, ..QuotaSettings::default() };
    let quotas = quotas(settings);
    let home = admit(&quotas, HOME).unwrap();
    let handshakes: Vec<_> = std::iter::from_fn(|| home.take_handshake().ok()).collect();
    assert!((15..19).contains(&handshakes.len()), "{}", handshakes.len());
    assert_eq!(home.take_handshake().unwrap_err(), OverLimit::Memory);
    drop(handshakes);
    assert!(home.take_handshake().is_ok());
}

#[tokio::test(start_paused = true)]
async fn connections_and_held_places_pin_memory_themselves() {
    let quotas = quotas(QuotaSettings { address_connections: 0, address_memory: MEBIBYTE, ..QuotaSettings::default() });
    let connections = std::iter::from_fn(|| admit(&quotas, HOME).ok()).collect::<Vec<_>>();
    let most = MEBIBYTE / limits::CONNECTION_BYTES;
    assert!((most / 2..most).contains(&connections.len()), "{}", connections.len());
    assert!(quotas.hold(connections[0].address()).is_some(), "a place is smaller than a connection and its request");
}
