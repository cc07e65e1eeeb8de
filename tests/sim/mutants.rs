//! Bugs to be planted: what a careless hand might do. Each lives in the driver of the world, at the place that
//! names it, and breaks what `src/limit` promises as seen from outside.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// What was reserved and not used does not come back.
    SkipRefund,
    /// What is under way is settled twice.
    SettleTwice,
    /// What was used beyond the reservation is nobody's debt.
    ForgiveOverspend,
    /// A request that ended still counts as under way.
    ForgetConcurrency,
    /// A reservation that nobody settles is never swept.
    NeverSweepLeaks,
    /// A request that was refused is charged.
    ChargeRefused,
    /// A request that one limit refused is charged by another.
    ChargeTheOthers,
    /// A worker refuses though other workers hold enough.
    RefuseWithoutReclaim,
    /// The wait that a client is told is rounded down.
    RoundWaitDown,
    /// A stream's next part is not reserved.
    FreeTopUps,
    /// A calendar's budget comes twice: when the window begins, and a little later.
    RefillTwice,
    /// Whoever steps the wall's clock is not heard.
    IgnoreClockSteps,
    /// Credit is spent while the disk still writes that it may be.
    GrantBeforeDurable,
    /// A grant that comes late counts for the window in which it comes.
    GrantForAnotherWindow,
    /// After a crash nothing of what was granted has been used.
    RestoreUnused,
    /// Slots of sliding budgets are written when they are granted, and what was in earlier ones is not.
    ForgetClosedSlots,
    /// After a restart, slots of sliding budgets are taken for older than they are.
    RestoreSlotsAsOld,
    /// After a crash, short accounts are simply full.
    ResumeFull,
    /// A reload forgets what was used.
    ForgetOnReload,
    /// What began under the old rules is not settled under the new ones.
    LoseRefundOnReload,
    /// Evicting an account forgives its debt.
    ForgiveDebtAtSweep,
    /// An operator's block is lifted by a restart.
    ForgetBlocks,
}

impl Mutant {
    pub(crate) const ALL: [Mutant; 22] = [
        Mutant::SkipRefund,
        Mutant::SettleTwice,
        Mutant::ForgiveOverspend,
        Mutant::ForgetConcurrency,
        Mutant::NeverSweepLeaks,
        Mutant::ChargeRefused,
        Mutant::ChargeTheOthers,
        Mutant::RefuseWithoutReclaim,
        Mutant::RoundWaitDown,
        Mutant::FreeTopUps,
        Mutant::RefillTwice,
        Mutant::IgnoreClockSteps,
        Mutant::GrantBeforeDurable,
        Mutant::GrantForAnotherWindow,
        Mutant::RestoreUnused,
        Mutant::ForgetClosedSlots,
        Mutant::RestoreSlotsAsOld,
        Mutant::ResumeFull,
        Mutant::ForgetOnReload,
        Mutant::LoseRefundOnReload,
        Mutant::ForgiveDebtAtSweep,
        Mutant::ForgetBlocks,
    ];
}
