/* SPDX-License-Identifier: MIT */
/**
 * @file loan.h
 * The end of a borrowed reply, for who frees results.
 */
#ifndef BHI_LOAN_H
#define BHI_LOAN_H

struct bh_loan;

/** Gives back what a result has borrowed. Any thread, without any lock. NULL is fine. */
void bhi_loan_return(struct bh_loan *loan);

#endif
