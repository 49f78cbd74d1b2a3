// The thread in which policy runs: opens its own connection, drives the policy, tells what happens, closes, ends.
import { parentPort, workerData } from 'node:worker_threads'
import { describeSqliteFailure } from '../../database/sqlite-failures.ts'
import { SqlError } from '../../database/sqlite-value.ts'
import { drive } from './drive.ts'
import { driverOf, loadLibrary, openPlain, requireDatabase } from './open.ts'
import { addJavaScriptFunctions } from './javascript-functions.ts'
import { policyNamed } from './policies.ts'
import type { WorkerMessage, WorkerTask } from './run-policy.ts'

const task = workerData as WorkerTask
const stop = new Int32Array(task.stop)
const stopping = (): boolean => Atomics.load(stop, 0) === 1

try {
  tell({ type: 'result', result: await work() })
} catch (error) {
  if (error instanceof SqlError) tell({ type: 'sql-error', code: error.code, message: error.message })
  else {
    const { code, message, hint } = describeSqliteFailure(error, task.path)
    tell({ type: 'tamp-error', code, message, ...(hint === undefined ? {} : { hint }) })
  }
}

async function work(): Promise<unknown> {
  const { path, driver: kind, busySeconds, library, writes, name, options } = task
  const database = await openPlain(path, { driver: kind, busySeconds })
  try {
    const driver = await driverOf(database)
    requireDatabase(driver, path)
    if (library === null) addJavaScriptFunctions(database, driver)
    else loadLibrary(driver, library)
    if (!writes) driver.query('PRAGMA query_only = ON')
    const policy = await policyNamed(name)
    return drive(policy(options), driver, {
      stopping,
      sleep,
      onEvent: (event) => tell({ type: 'event', event }),
      onLog: (level, message) => tell({ type: 'log', level, message }),
    })
  } finally {
    database.close()
  }
}

/** A pause that ends at once when the run is told to stop. */
function sleep(seconds: number, reason: string): void {
  if (seconds <= 0 || stopping()) return
  tell({ type: 'wait', reason })
  Atomics.wait(stop, 0, 0, seconds * 1000)
  tell({ type: 'wait', reason: null })
}

function tell(message: WorkerMessage): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that is for windows
  parentPort!.postMessage(message)
}
