//! What the budget promises, to one and to several who charge at once.

use std::thread;

use proptest::prelude::*;

use crate::budget::*;

const MEBIBYTE: usize = 1024 * 1024;

#[test]
fn an_address_may_pin_no_more_than_its_limit_and_all_may_be_had_again() {
    let budget = Budget::new(0, MEBIBYTE);
    let account = budget.address();
    let purse = account.purse();
    let charges: Vec<_> = std::iter::from_fn(|| purse.charge(1000)).collect();
    let most = MEBIBYTE - MEBIBYTE / ANYWAY;
    assert!((most - LUMP..=most).contains(&account.used()));
    assert!(charges.len() * 1000 > most - LUMP && account.is_pressed());
    drop(charges);
    assert!(purse.has(most - PURSE) && !account.is_pressed());
    drop(purse);
    assert_eq!((account.used(), budget.used()), (0, 0));
}

#[test]
fn all_addresses_share_one_budget_and_another_address_has_its_own_limit() {
    let budget = Budget::new(4 * MEBIBYTE, 2 * MEBIBYTE);
    let purses = [(); 3].map(|()| budget.address().purse());
    let _one = purses[0].charge(MEBIBYTE * 7 / 4).unwrap();
    assert!(purses[0].charge(1).is_none(), "its own limit");
    assert!(purses[0].account().is_pressed() && !purses[1].account().is_pressed());
    let _other = purses[1].charge(MEBIBYTE).unwrap();
    assert!(purses[2].charge(MEBIBYTE).is_none(), "the limit of all");
    assert!(purses[2].account().is_pressed(), "all are");
}

#[test]
fn who_uses_little_goes_on_within_a_tenth_when_others_have_used_all() {
    let budget = Budget::new(10 * MEBIBYTE, 0);
    let greedy = budget.address().purse();
    let _all = greedy.charge_anyway(10 * MEBIBYTE);
    assert!(greedy.charge(1).is_none());
    assert!(
        budget.nobody().purse().charge(2 * SMALL_ACCOUNT).is_some(),
        "the connections of a proxy are those of many"
    );
    let modest: Vec<_> = std::iter::from_fn(|| budget.address().purse().charge(SMALL_ACCOUNT)).collect();
    assert_eq!(modest.len(), MEBIBYTE / SMALL_ACCOUNT);
}

#[test]
fn a_message_on_its_way_leaves_the_account_alone() {
    let budget = Budget::new(0, 0);
    let purse = budget.address().purse();
    drop(purse.charge(3000));
    let used = budget.used();
    for _ in 0..100 {
        let (one, other) = (purse.charge(2000), purse.charge(1000));
        assert_eq!(budget.used(), used);
        drop((one, other));
    }
    assert_eq!(budget.used(), used);
    purse.give_back();
    assert_eq!(budget.used(), 0, "it is idle");
}

#[test]
fn what_was_pinned_anyway_counts_and_is_given_back() {
    let budget = Budget::new(MEBIBYTE, MEBIBYTE);
    let purse = budget.address().purse();
    let charges: Vec<_> = (0..20).map(|_| purse.charge_anyway(100_000)).collect();
    assert!(budget.used() >= 2_000_000 && purse.charge(LUMP).is_none());
    drop(charges);
    assert!(purse.charge(1).is_some());
}

#[test]
fn what_one_that_has_gone_left_behind_still_counts() {
    let budget = Budget::new(0, MEBIBYTE);
    let account = budget.address();
    let left_behind = account.purse().charge(800_000).unwrap();
    assert!(account.purse().charge(200_000).is_none());
    drop(left_behind);
    assert_eq!(account.used(), 0);
}

#[test]
fn what_is_given_back_after_the_connection_has_ended_goes_back_at_once() {
    let budget = Budget::new(0, MEBIBYTE);
    let account = budget.address();
    let purse = account.purse();
    // As its messages do that wait for others, and its place that is held.
    let mut waiting: Vec<_> = (0..8).map(|_| purse.charge(3000).unwrap()).collect();
    purse.close();
    let counted = |charges: &[Charge]| charges.iter().map(Charge::bytes).sum::<usize>();
    assert_eq!(account.used(), counted(&waiting));
    while waiting.pop().is_some() {
        assert_eq!(account.used(), counted(&waiting));
    }
    // What ends later is charged still, and needs no more than its lumps.
    let last = purse.charge_anyway(100);
    assert_eq!(account.used(), LUMP);
    drop(last);
    assert_eq!((account.used(), budget.used()), (0, 0));
}

#[test]
fn a_charge_grows_and_shrinks_and_one_that_cannot_grow_stays() {
    let budget = Budget::new(0, MEBIBYTE);
    let account = budget.address();
    let mut charge = account.purse().charge(1000).unwrap();
    assert!(charge.resize(500_000) && charge.bytes() == 500_000 && account.used() >= 500_000);
    assert!(!charge.resize(MEBIBYTE) && charge.bytes() == 500_000);
    assert!(charge.resize(0) && account.used() <= LUMP);
    drop(charge);
    assert_eq!(account.used(), 0);
}

#[test]
fn none_is_no_limit() {
    let budget = Budget::new(0, 0);
    let purse = budget.address().purse();
    let _charges: Vec<_> = (0..8).map(|_| purse.charge(u32::MAX as usize).unwrap()).collect();
    assert!(!purse.account().is_pressed());
}

#[test]
fn threads_that_share_a_purse_and_an_account_pin_no_more_than_the_limit_and_leave_nothing() {
    let budget = Budget::new(MEBIBYTE, MEBIBYTE / 2);
    let accounts = [budget.address(), budget.address(), budget.address()];
    let purses: Vec<_> = accounts.iter().flat_map(|account| [account.purse(), account.purse()]).collect();
    thread::scope(|scope| {
        for seed in 0..4 {
            let (purses, accounts, budget) = (&purses, &accounts, &budget);
            scope.spawn(move || {
                let mut held = Vec::new();
                for step in 0..20_000_usize {
                    let purse = &purses[(step * 7 + seed) % purses.len()];
                    held.extend(purse.charge((step * 31 + seed) % 9_000));
                    if held.len() > 40 {
                        held.drain(..step % 40);
                    }
                    if step % 100 == seed {
                        purse.give_back();
                    }
                    assert!(budget.used() <= MEBIBYTE + MEBIBYTE / RESERVE);
                    assert!(accounts.iter().all(|account| account.used() <= MEBIBYTE / 2));
                }
            });
        }
    });
    drop(purses);
    assert_eq!(budget.used(), 0);
    assert!(accounts.iter().all(|account| account.used() == 0));
}

/// From how many bytes on a limit refuses.
fn refusing(limit: usize) -> usize {
    limit - limit / ANYWAY
}

/// What somebody does to a budget.
#[derive(Debug, Clone)]
enum Step {
    Charge { purse: usize, bytes: usize },
    ChargeAnyway { purse: usize, bytes: usize },
    Drop { charge: usize },
    GiveBack { purse: usize },
    Close { purse: usize },
    Replace { purse: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let purse = 0..PURSES;
    prop_oneof![
        6 => (purse.clone(), 0..100_000_usize).prop_map(|(purse, bytes)| Step::Charge { purse, bytes }),
        1 => (purse.clone(), 0..5_000_usize).prop_map(|(purse, bytes)| Step::ChargeAnyway { purse, bytes }),
        4 => (0..1000_usize).prop_map(|charge| Step::Drop { charge }),
        1 => purse.clone().prop_map(|purse| Step::GiveBack { purse }),
        1 => purse.clone().prop_map(|purse| Step::Close { purse }),
        1 => purse.prop_map(|purse| Step::Replace { purse }),
    ]
}

const PURSES: usize = 6;

proptest! {
    /// The model: what is pinned is the sum of all charges. It never exceeds what was counted, which exceeds it by what
    /// purses may have left; nothing is refused while there is room for it and that.
    #[test]
    fn what_is_counted_is_what_is_pinned_and_what_purses_have_left(steps in prop::collection::vec(step(), 1..300)) {
        let (limit, address_limit) = (MEBIBYTE, MEBIBYTE / 2);
        let budget = Budget::new(limit, address_limit);
        let accounts = [budget.address(), budget.address()];
        let mut purses: Vec<_> = (0..PURSES).map(|purse| accounts[purse % 2].purse()).collect();
        let mut charges: Vec<(usize, usize, Charge)> = Vec::new();
        let (mut forced, slack) = (0, PURSES * (PURSE + LUMP));
        for step in steps {
            match step {
                Step::Charge { purse, bytes } => {
                    let account = purse % 2;
                    let pinned: usize = charges.iter().filter(|charge| charge.0 == account).map(|charge| charge.1).sum();
                    let all: usize = charges.iter().map(|charge| charge.1).sum();
                    match purses[purse].charge(bytes) {
                        Some(charge) => charges.push((account, bytes, charge)),
                        None => prop_assert!(
                            pinned + bytes + slack > refusing(address_limit) || all + bytes + slack > refusing(limit),
                            "refused with {pinned} of {address_limit} and {all} of {limit} pinned"
                        ),
                    }
                }
                Step::ChargeAnyway { purse, bytes } => {
                    forced += bytes.next_multiple_of(LUMP);
                    charges.push((purse % 2, bytes, purses[purse].charge_anyway(bytes)));
                }
                Step::Drop { charge } if !charges.is_empty() => drop(charges.swap_remove(charge % charges.len())),
                Step::Drop { .. } => {}
                Step::GiveBack { purse } => purses[purse].give_back(),
                Step::Close { purse } => purses[purse].close(),
                Step::Replace { purse } => purses[purse] = accounts[purse % 2].purse(),
            }
            let pinned: usize = charges.iter().map(|charge| charge.1).sum();
            prop_assert!(pinned <= budget.used());
            prop_assert!(budget.used() <= pinned + charges.len() * (PURSE + LUMP) + slack);
            prop_assert!(budget.used() <= limit + limit / RESERVE + forced);
            prop_assert_eq!(budget.used(), accounts.iter().map(|account| account.used()).sum::<usize>());
            for account in &accounts {
                prop_assert!(account.used() <= address_limit + forced);
            }
        }
        drop((charges, purses));
        prop_assert_eq!(budget.used(), 0);
    }
}
