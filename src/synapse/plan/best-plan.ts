// The plan `best`: for every group the base that makes the room's rows few while every chain stays short.
//
// The storage/recreation trade-off of versioned data (Bhattacherjee et al., "Principles of Dataset Versioning", VLDB 2015), under
// two rules of Synapse's: a base is older, and has no key that the group lacks.
import { cheapestBases } from './cheapest-bases.ts'
import type { CheapestBases } from './cheapest-bases.ts'
import { Bar } from '../history.ts'
import type { RoomHistory } from '../history.ts'
import { depths, heights, limitDepth, raise } from './limit-depth.ts'
import type { Assignment, DepthProblem } from './limit-depth.ts'
import { twins } from './twins.ts'

/** Differences to look at in the search for cheapest bases: enough to look at everything in rooms of about 2,500 groups. */
const searchBudget = 1 << 23
/** What shallow tips may cost: this share of the room's rows. */
const tipAllowance = 0.015

/**
 * The cheapest base of every group. Nodes of its tree are positions plus one. Damaged groups have a node, but nothing stands on it.
 * @param states fingerprints of the room
 */
export function cheapestForest(history: RoomHistory, states: Uint32Array): CheapestBases {
  const { entries, bar, deltas, base: present } = history
  const twin = twins(states, (group) => mayBeBase(history, group))
  const forest = cheapestBases(
    {
      count: history.ids.length,
      // A snapshot may belong to another branch than the group before it: its newest events tell.
      seed: (group) => (present[group]! < 0 ? newestHolder(history, group) : present[group]!),
      describe(group, tree) {
        const from = deltas.start[group]!
        const to = deltas.start[group + 1]!
        if (present[group]! < 0) tree.setAll(deltas.rows, from, to)
        else for (let r = from; r < to; r++) tree.set(deltas.rows[r]!)
      },
      hints: (group) => hints(history, group),
      twin: (group) => twin[group]!,
      mayBeBase: (base, group) => mayBeBase(history, base) || (present[group] === base && bar[base] === Bar.pending),
      fixedBase: (group) => (bar[group] === Bar.none ? null : present[group]!),
      preferred: (group) => history.referenced[group] === 1,
    },
    entries.key,
    entries.keyCount,
    searchBudget,
  )
  // What must not be changed costs what it costs, needless rows and all.
  for (let group = 0; group < bar.length; group++)
    if (bar[group] !== Bar.none) forest.cost[group] = deltas.start[group + 1]! - deltas.start[group]!
  return forest
}

export interface BestBases extends Assignment {
  /** Rows more that it would cost to have all tips at half of the depth. */
  readonly shallowTipsCost: number
}

/**
 * Chooses bases: the cheapest ones, as far as the depth allows.
 * @param present base and rows of each group today
 * @param maxDepth in edges; groups that must not be changed may be deeper already
 */
export function bestBases(
  history: RoomHistory,
  cheapest: CheapestBases,
  present: Assignment,
  maxDepth: number,
): BestBases {
  const { entries, bar } = history
  const problem: DepthProblem = {
    cheapest,
    keyOf: entries.key,
    keyCount: entries.keyCount,
    maxDepth,
    tips: history.tips.filter((tip) => bar[tip] === Bar.none),
    fixed: bar.map((why) => (why === Bar.none ? 0 : 1)),
    mayBeBase: (group) => mayBeBase(history, group),
    preferred: (group) => history.referenced[group] === 1,
  }
  const chosen = shallowTips(problem)
  const kept = keepPresent(problem, chosen.assignment, present, chosen.reserve)
  return { ...kept, shallowTipsCost: chosen.shallowRows - kept.rows }
}

function mayBeBase({ bar }: RoomHistory, group: number): boolean {
  return bar[group] === Bar.none || bar[group] === Bar.outOfRange
}

/** Groups that may be near: the one before, and the ones that first had the newest events of the group. */
function hints(history: RoomHistory, group: number): number[] {
  const near = group > 0 ? [group - 1] : []
  const newest = newestHolder(history, group)
  if (newest >= 0) near.push(newest)
  return near
}

/** The latest of the groups that first had the events of a group's rows, -1 if all are the group's own. */
function newestHolder({ deltas, entries }: RoomHistory, group: number): number {
  let newest = -1
  for (let r = deltas.start[group]!; r < deltas.start[group + 1]!; r++) {
    const holder = entries.holder[deltas.rows[r]!]!
    if (holder < group && holder > newest) newest = holder
  }
  return newest
}

/**
 * Synapse writes a full snapshot when the chain below a new group counts 100, so the groups the next event builds on should not be
 * deep: at most half of the limit, or as shallow as the allowance buys.
 */
function shallowTips(problem: DepthProblem): { assignment: Assignment; reserve: number; shallowRows: number } {
  const free = limitDepth(problem, 0)
  if (problem.tips.length === 0) return { assignment: free.assignment, reserve: 0, shallowRows: free.assignment.rows }
  const most = Math.floor(free.assignment.rows * (1 + tipAllowance))
  const half = Math.ceil(problem.maxDepth / 2)
  const shallow = limitDepth(problem, half, free.shapes.slice(0, 6))
  const shallowRows = shallow.assignment.rows
  if (shallowRows <= most) return { assignment: shallow.assignment, reserve: half, shallowRows }
  const shapes = shallow.shapes.slice(0, 3)
  for (const share of [0.4, 0.3, 0.2, 0.15, 0.1, 0.05]) {
    const reserve = Math.ceil(share * problem.maxDepth)
    const { assignment } = limitDepth(problem, reserve, shapes)
    if (assignment.rows <= most) return { assignment, reserve, shallowRows }
  }
  return { assignment: free.assignment, reserve: 0, shallowRows }
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
