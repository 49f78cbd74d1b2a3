// The plan `best`: for every group the base that makes the room's rows few while every chain stays short.
//
// The storage/recreation trade-off of versioned data (Bhattacherjee et al., "Principles of Dataset Versioning", VLDB 2015), under
// two rules of Synapse's: a base is older, and has no key that the group lacks.
import { cheapestBases } from './cheapest-bases.ts'
import { fingerprints } from './fingerprints.ts'
import { Bar } from './history.ts'
import type { Bases, RoomHistory } from './history.ts'
import { depths, heights, limitDepth, raise } from './limit-depth.ts'
import type { Assignment, DepthProblem } from './limit-depth.ts'
import type { StateTree } from './state-tree.ts'
import { twins } from './twins.ts'

/** Differences to look at in the search for cheapest bases: what a room of 2,000 groups needs to look at everything. */
const searchBudget = 1 << 22
/** What shallow tips may cost: this share of the room's rows. */
const tipAllowance = 0.015

export interface BestPlan {
  readonly bases: Bases
  /** Rows of each group under the plan. */
  readonly rows: Uint32Array
  /** Sum of the cheapest costs: no plan of any depth has fewer rows. */
  readonly bound: { readonly rows: number; readonly exact: boolean }
  /** All states of the room; node of a group is its position plus one. Damaged groups have a node, but nothing stands on it. */
  readonly tree: StateTree
}

/**
 * Chooses bases.
 * @param present base and rows of each group today
 * @param maxDepth in edges; fixed groups may be deeper already
 */
export function bestBases(history: RoomHistory, present: Assignment, maxDepth: number): BestPlan {
  const { entries, bar, deltas } = history
  const count = history.ids.length
  const usable = (group: number): boolean => bar[group] === Bar.none || bar[group] === Bar.outOfRange
  const fixed = bar.map((why) => (why === Bar.none ? 0 : 1))
  const twin = twins(fingerprints({ ...history, base: history.base }), usable)
  const preferred = (group: number): boolean => history.referenced[group] === 1
  const cheapest = cheapestBases(
    {
      count,
      seed: (group) => history.base[group]!,
      describe(group, tree) {
        const from = deltas.start[group]!
        const to = deltas.start[group + 1]!
        if (history.base[group]! < 0) tree.setAll(deltas.rows, from, to)
        else for (let r = from; r < to; r++) tree.set(deltas.rows[r]!)
      },
      hints: (group) => hints(history, present, group),
      twin: (group) => twin[group]!,
      mayBeBase: (base, group) => usable(base) || (present.base[group] === base && bar[base] === Bar.pending),
      fixedBase: (group) => (fixed[group] === 1 ? history.base[group]! : null),
      preferred,
    },
    entries.key,
    entries.keyCount,
    searchBudget,
  )
  let bound = 0
  for (const rows of cheapest.cost) bound += rows
  const problem: DepthProblem = {
    cheapest,
    keyOf: entries.key,
    keyCount: entries.keyCount,
    maxDepth,
    tips: history.tips.filter((tip) => bar[tip] === Bar.none),
    fixed,
    mayBeBase: usable,
    preferred,
  }
  const chosen = shallowTips(problem)
  const kept = keepPresent(problem, chosen.assignment, present, chosen.reserve)
  return { bases: kept.base, rows: kept.cost, bound: { rows: bound, exact: cheapest.exact }, tree: cheapest.tree }
}

/** Groups that may be near: the one before, and the ones that first had the newest events of the group. */
function hints(history: RoomHistory, present: Assignment, group: number): number[] {
  const { deltas, entries } = history
  const near = group > 0 ? [group - 1] : []
  if (present.base[group]! >= 0) near.push(present.base[group]!)
  let newest = -1
  for (let r = deltas.start[group]!; r < deltas.start[group + 1]!; r++) {
    const holder = entries.holder[deltas.rows[r]!]!
    if (holder < group && holder > newest) newest = holder
  }
  if (newest >= 0) near.push(newest)
  return near
}

/**
 * Synapse writes a full snapshot when the chain below a new group counts 100, so the groups the next event builds on should not be
 * deep: at most half of the limit, or as shallow as the allowance buys.
 */
function shallowTips(problem: DepthProblem): { assignment: Assignment; reserve: number } {
  const free = limitDepth(problem, 0)
  if (problem.tips.length === 0) return { assignment: free.assignment, reserve: 0 }
  const most = Math.floor(free.assignment.rows * (1 + tipAllowance))
  const half = Math.ceil(problem.maxDepth / 2)
  const shallow = limitDepth(problem, half)
  if (shallow.assignment.rows <= most) return { assignment: shallow.assignment, reserve: half }
  const shapes = [...free.shapes, ...shallow.shapes]
  for (const share of [0.375, 0.25, 0.125]) {
    const reserve = Math.ceil(share * problem.maxDepth)
    const { assignment } = limitDepth(problem, reserve, shapes)
    if (assignment.rows <= most) return { assignment, reserve }
  }
  return { assignment: free.assignment, reserve: 0 }
}

/** Leaves a group on its present base wherever moving it gains nothing. */
function keepPresent(problem: DepthProblem, plan: Assignment, present: Assignment, reserve: number): Assignment {
  const base = plan.base.slice()
  const cost = plan.cost.slice()
  const depth = depths(base)
  const height = heights(base, problem.tips, reserve)
  for (let i = base.length - 1; i >= 0; i--) {
    const today = present.base[i]!
    if (today === base[i] || present.cost[i]! > cost[i]! || problem.fixed[i] === 1) continue
    if ((today < 0 ? 0 : depth[today]! + 1) + height[i]! > problem.maxDepth) continue
    if (today >= 0 && !problem.mayBeBase(today)) continue
    base[i] = today
    cost[i] = present.cost[i]!
    raise(base, height, i)
  }
  let rows = 0
  for (const here of cost) rows += here
  return { base, cost, rows }
}
