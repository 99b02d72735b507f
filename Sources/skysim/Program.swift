import CSim
import Bounded
import CSky
import Wire

/// The command line of skysim.
struct Program {
  private var seed: UInt64 = 1
  private var runs: UInt64 = 1
  private var nodes: UInt64 = 5
  private var days: UInt64 = 1
  private var plant = Plant.none
  private var isReal = false
  private var until = UInt64.max
  private var traced: UInt64 = 300
  private var isOffline = false

  private static let usage = """
    usage: skysim [--seed S] [--runs N] [--nodes N] [--days D] [--real] [--plant NAME] [--until STEP] [--trace N]
                  [--offline]
    see tools/sim --help
    """

  // MARK: Arguments

  private static func isEqual(_ argument: Int32, _ text: StaticString) -> Bool {
    guard let given = sky_cli_argument(argument) else { return false }
    for i in 0..<text.utf8CodeUnitCount where UInt8(bitPattern: given[i]) != text.utf8Start[i] { return false }
    return given[text.utf8CodeUnitCount] == 0
  }

  private static func number(_ argument: Int32) -> UInt64? {
    guard let given = sky_cli_argument(argument), given[0] != 0 else { return nil }
    var value: UInt64 = 0
    var i = 0
    while given[i] != 0 {
      guard given[i] >= 0x30, given[i] <= 0x39, i < 19 else { return nil }
      value = value * 10 + UInt64(given[i] - 0x30)
      i += 1
    }
    return value
  }

  private mutating func read() -> Bool {
    var i: Int32 = 1
    while i < sky_cli_argument_count() {
      if Self.isEqual(i, "--real") {
        isReal = true
      } else if Self.isEqual(i, "--offline") {
        isOffline = true
      } else if Self.isEqual(i, "--plant") {
        guard let named = Plant.allCases.first(where: { Self.isEqual(i + 1, $0.name) }) else { return false }
        plant = named
        i += 1
      } else {
        guard let value = Self.number(i + 1) else { return false }
        if Self.isEqual(i, "--seed") {
          seed = value
        } else if Self.isEqual(i, "--runs") {
          runs = value
        } else if Self.isEqual(i, "--nodes") {
          nodes = value
        } else if Self.isEqual(i, "--days") {
          days = value
        } else if Self.isEqual(i, "--until") {
          until = value
        } else if Self.isEqual(i, "--trace") {
          traced = value
        } else {
          return false
        }
        i += 1
      }
      i += 1
    }
    return nodes >= 1 && nodes <= 64 && days >= 1 && days <= 3_650 && runs >= 1
  }

  // MARK: Running

  static func main() -> Never {
    var program = Program()
    program.run()
  }

  private mutating func run() -> Never {
    guard read() else {
      say(Self.usage, to: 2)
      finish(64)
    }
    sim_use_real_crypto(isReal)
    if plant == .uncheckedTags { sim_plant_unchecked_tags() }
    if isOffline { Offline(seed: seed, plant: plant).run() }
    for run in 0..<runs { simulate(seed + run) }
    finish(0)
  }

  private func simulate(_ seed: UInt64) {
    var scenario = Scenario(seed: seed, nodes: Int(nodes), days: days)
    scenario.plant = plant
    scenario.isReal = isReal
    let begun = sim_elapsed_ms()
    let world = World(scenario)
    let ending = Ending(world)
    if until != .max {
      world.tracesFrom = until > traced ? until - traced : 0
      world.stopsAt = until
    }
    var told = begun
    for hour in 1...(days * 24) {
      world.run(until: world.beginning + 3_600_000 * hour)
      let elapsed = sim_elapsed_ms()
      if elapsed - told >= 2_000 {
        told = elapsed
        say("seed \(seed): day \(hour / 24) of \(days), step \(world.step), \((elapsed - begun) / 1_000) s", to: 2)
      }
    }
    ending.run()
    report(world, ms: sim_elapsed_ms() - begun)
  }

  private func report(_ world: World, ms: UInt64) {
    let counts = world.counts
    let totals = world.ledger.totals
    say(
      "seed \(world.scenario.seed) nodes \(nodes) days \(days) hubs \(world.scenario.hubs) relays \(world.scenario.relays) "
        + "jobs_done \(counts.jobsDone) jobs_failed \(counts.jobsFailed) jobs_cancelled \(counts.jobsCancelled) "
        + "deepest \(counts.deepest) ways \(counts.ways) steps \(world.step) faults "
        + "\(counts.faults) links \(counts.links) heartbeats \(counts.heartbeats) renewals \(counts.renewals) offers "
        + "\(counts.offers) promised \(totals.promised) arrived \(totals.promised - totals.excused) spoilt \(totals.spoilt) expired "
        + "\(totals.expired) refused \(totals.refused) out_of_reach \(totals.outOfReach) log \(totals.hubLog) sent "
        + "\(totals.sent) hash \(world.hashText)")
    say("seed \(world.scenario.seed) took \(ms) ms", to: 2)
  }
}
