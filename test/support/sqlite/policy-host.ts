// The policy's commands as a process runs them: over either driver, with somebody looking at every request.
import { BetterSqlite3Driver, openBetterSqlite3 } from '../../../src/database/better-sqlite3.ts'
import { NodeSqliteDriver, openNodeSqlite } from '../../../src/database/node-sqlite.ts'
import type { SqliteDriver } from '../../../src/database/sqlite-driver.ts'
import { describeSqliteFailure } from '../../../src/database/sqlite-failures.ts'
import { drive } from '../../../src/sqlite/host/drive.ts'
import type { DriveOptions } from '../../../src/sqlite/host/drive.ts'
import { addIndex } from '../../../src/sqlite/policy/add-index.ts'
import { check } from '../../../src/sqlite/policy/check.ts'
import { disable } from '../../../src/sqlite/policy/disable.ts'
import { enable } from '../../../src/sqlite/policy/enable.ts'
import { inspect } from '../../../src/sqlite/policy/inspect.ts'
import { maintain } from '../../../src/sqlite/policy/maintain.ts'
import type { Policy, Request } from '../../../src/sqlite/policy/request.ts'
import { testLibrary } from './judge.ts'
import { watched } from './watched-policy.ts'

const policies = { inspect, enable, maintain, disable, check, index: addIndex }

export interface Deed {
  readonly command: keyof typeof policies
  readonly options?: unknown
}

export function policyOf({ command, options }: Deed): Policy<unknown> {
  return (policies[command] as (options: unknown) => Policy<unknown>)(options ?? {})
}

export const driverNames = ['better-sqlite3', 'node:sqlite'] as const
export type DriverName = (typeof driverNames)[number]

export interface Host extends Disposable {
  readonly driver: SqliteDriver
  /** @throws TampError */
  run<Result>(policy: Policy<Result>, look?: (n: number, request: Request) => void, options?: DriveOptions): Result
  close(): void
}

export interface HostOptions {
  readonly busySeconds?: number | undefined
  readonly readOnly?: boolean
  readonly extension?: boolean
}

/** @throws SqlError */
export function openHost(file: string, name: DriverName = 'better-sqlite3', options: HostOptions = {}): Host {
  const { busySeconds = 5, readOnly = false, extension = true } = options
  const driver =
    name === 'better-sqlite3'
      ? new BetterSqlite3Driver(openBetterSqlite3(file, { busySeconds, readOnly }))
      : new NodeSqliteDriver(openNodeSqlite(file, { busySeconds, readOnly }))
  if (extension) driver.loadExtension(testLibrary)
  const close = (): void => driver.close()
  return {
    driver,
    run(policy, look = () => {}, driveOptions = {}) {
      try {
        return drive(watched(policy, look), driver, driveOptions)
      } catch (error) {
        // As the library says it.
        throw describeSqliteFailure(error, file)
      }
    },
    close,
    [Symbol.dispose]: close,
  }
}
