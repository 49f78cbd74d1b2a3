// A policy with somebody looking over its shoulder.
import type { Policy, Request } from '../../../src/sqlite/policy/request.ts'

/** Tells `look` of every request, by its number from 1, before it is carried out. */
export function* watched<Result>(policy: Policy<Result>, look: (n: number, request: Request) => void): Policy<Result> {
  let n = 0
  let step = policy.next()
  while (step.done !== true) {
    look(++n, step.value)
    let answer: unknown
    try {
      answer = yield step.value
    } catch (error) {
      step = policy.throw(error)
      continue
    }
    step = policy.next(answer)
  }
  return step.value
}

/** The policy where pauses take no time: its clock goes on by as much. For those who wait for what never comes. */
export function* impatient<Result>(policy: Policy<Result>): Policy<Result> {
  let slept = 0
  let step = policy.next()
  while (step.done !== true) {
    let answer: unknown
    try {
      if (step.value.kind === 'sleep') slept += step.value.seconds
      else answer = yield step.value
    } catch (error) {
      step = policy.throw(error)
      continue
    }
    step = policy.next(step.value.kind === 'now' ? (answer as number) + slept : answer)
  }
  return step.value
}
