// The pieces of policy by the names that the commands have, for the thread that runs them.
import type { AddedIndex, AddIndexOptions } from '../policy/add-index.ts'
import type { Checked, CheckOptions } from '../policy/check.ts'
import type { Disabled, DisableOptions } from '../policy/disable.ts'
import type { Enabled, EnableOptions } from '../policy/enable.ts'
import type { InspectOptions } from '../policy/inspect.ts'
import type { Inspected } from '../policy/inspected.ts'
import type { Maintained, MaintainOptions } from '../policy/maintain.ts'
import type { Policy } from '../policy/request.ts'
import type { ColumnName, CopyOptions } from './whole-file.ts'

/** What each takes, and what it ends with. */
export interface Policies {
  readonly inspect: { readonly options: InspectOptions; readonly result: Inspected }
  readonly enable: { readonly options: EnableOptions; readonly result: Enabled }
  readonly maintain: { readonly options: MaintainOptions; readonly result: Maintained }
  readonly disable: { readonly options: DisableOptions; readonly result: Disabled }
  readonly check: { readonly options: CheckOptions; readonly result: Checked }
  readonly index: { readonly options: AddIndexOptions; readonly result: AddedIndex }
  readonly columns: { readonly options: object; readonly result: readonly ColumnName[] }
  readonly copy: { readonly options: CopyOptions; readonly result: null }
  readonly vacuum: { readonly options: object; readonly result: null }
}

export type PolicyName = keyof Policies

type PolicyFunction<Name extends PolicyName> = (options: Policies[Name]['options']) => Policy<Policies[Name]['result']>

/** Each is read when it is wanted: a thread runs one of them. */
const sources: { readonly [Name in PolicyName]: () => Promise<PolicyFunction<Name>> } = {
  inspect: async () => (await import('../policy/inspect.ts')).inspect,
  enable: async () => (await import('../policy/enable.ts')).enable,
  maintain: async () => (await import('../policy/maintain.ts')).maintain,
  disable: async () => (await import('../policy/disable.ts')).disable,
  check: async () => (await import('../policy/check.ts')).check,
  index: async () => (await import('../policy/add-index.ts')).addIndex,
  columns: async () => (await import('./whole-file.ts')).compressedColumns,
  copy: async () => (await import('./whole-file.ts')).copyInto,
  vacuum: async () => (await import('./whole-file.ts')).vacuum,
}

export async function policyNamed(name: PolicyName): Promise<(options: unknown) => Policy<unknown>> {
  return (await sources[name]()) as (options: unknown) => Policy<unknown>
}
