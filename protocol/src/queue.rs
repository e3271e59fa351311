//! The actions a session or relay has decided on, and the watch over its contract.

use std::collections::VecDeque;

use crate::action::Action;
use crate::event::{Event, Stage};

/// Actions in the order they must be performed. Holds no memory once drained.
#[derive(Debug, Default)]
pub(crate) struct ActionQueue {
    actions: VecDeque<Action>,
    undrained: bool,
}

impl ActionQueue {
    /// A change is about to happen: debug builds insist that `poll_action` has returned `None` since the last one.
    pub(crate) fn begin_change(&mut self) {
        debug_assert!(!self.undrained, "poll_action until None before the next handle_* call");
        self.undrained = true;
    }

    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn log(&mut self, event: Event, stage: Option<Stage>) {
        self.push(Action::Log(event, stage));
    }

    /// Moves what a machine wished to log behind the actions.
    pub(crate) fn append(&mut self, actions: &mut Vec<Action>) {
        self.actions.extend(actions.drain(..));
    }

    pub(crate) fn poll(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if self.actions.is_empty() {
            self.actions = VecDeque::new();
        }
        if action.is_none() {
            self.undrained = false;
        }
        action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_leave_in_order_and_their_memory_with_them() {
        let mut queue = ActionQueue::default();
        queue.begin_change();
        queue.push(Action::Cancel);
        queue.append(&mut vec![Action::Relay, Action::Finish]);
        assert_eq!(queue.poll(), Some(Action::Cancel));
        assert_eq!(queue.poll(), Some(Action::Relay));
        assert_eq!(queue.poll(), Some(Action::Finish));
        assert_eq!(queue.actions.capacity(), 0);
        assert_eq!(queue.poll(), None);
        queue.begin_change();
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "poll_action until None")]
    fn a_second_change_before_draining_is_a_bug() {
        let mut queue = ActionQueue::default();
        queue.begin_change();
        queue.begin_change();
    }
}
