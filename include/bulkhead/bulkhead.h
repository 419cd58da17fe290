/* SPDX-License-Identifier: MIT */
/**
 * @file bulkhead.h
 * Everything a dispatcher needs. A worker includes <bulkhead/worker.h> alone.
 */
#ifndef BULKHEAD_BULKHEAD_H
#define BULKHEAD_BULKHEAD_H

#include <bulkhead/async.h>
#include <bulkhead/base.h>
#include <bulkhead/callback.h>
#include <bulkhead/json.h>
#include <bulkhead/pool.h>
#include <bulkhead/session.h>
#include <bulkhead/value.h>

#endif
