import Bounded

/// A closed list of words, or of pairs `word=word`, in one literal: nothing is made at start, nothing allocated.
///
/// Invariant: entries are lower case, separated and surrounded by one blank each.
struct WordTable {
  private let text: StaticString

  init(_ text: StaticString) { self.text = text }

  func contains(_ word: RawSpan) -> Bool { find(word, endedBy: 0x20) != nil }

  /// What stands for `word`; nil when it has no entry.
  @_lifetime(immortal)
  func value(of word: RawSpan) -> RawSpan? {
    guard let start = find(word, endedBy: 0x3D) else { return nil }
    var end = start
    while text.utf8Start[end] != 0x20 { end += 1 }
    let span = RawSpan(_unsafeStart: UnsafeRawPointer(text.utf8Start + start), byteCount: end - start)
    return _overrideLifetime(span, copying: ())  // a literal outlives everything
  }

  /// Where what follows the entry's word and its mark begins.
  private func find(_ word: RawSpan, endedBy mark: UInt8) -> Int? {
    let count = word.byteCount
    let total = text.utf8CodeUnitCount
    guard count > 0 else { return nil }
    var at = 1
    while at < total {
      let start = at
      var matches = true
      while text.utf8Start[at] != 0x20 {
        let index = at - start
        if index < count {
          if text.utf8Start[at] != word[index] { matches = false }
        } else if index == count, matches, text.utf8Start[at] == mark {
          return at + 1
        }
        at += 1
      }
      if matches, at - start == count, mark == 0x20 { return at }
      at += 1
    }
    return nil
  }
}

/// The words that matching knows. English: other languages are matched by their normal form alone.
enum Words {
  /// Words that only English begins a question with, or holds together by.
  static let english = WordTable(
    """
     what who whom whose which where when why how what's who's where's how's the does did are isn't aren't don't \
    doesn't can't \

    """)
  static let question = WordTable(" what who whom whose which where when why how ")
  static let negation = WordTable(
    " not no never none neither nor nobody nothing nowhere without cannot hardly unless except ")
  static let scope = WordTable(
    """
     all every each some any only most both first last next previous either always sometimes often more less \
    least than \

    """)
  /// Words that hold a sentence together: no content of their own, but never dropped either.
  static let function = WordTable(
    """
     what who whom whose which where when why how is are was were be been am do does did has have had can could \
    will would shall should may might must of in on at to from for with without by about into over under between \
    than as and or not no if i you he she it we they me him her us them this that these those there here my your \
    his its our their any all some every many much more most only the a an \

    """)
  /// In capitals they are something else.
  static let abbreviated = WordTable(" us it who or me in can may as am ")
  /// Words in `-s` that are no plural, or not that of the word without it; among them all that WordNet 3.0 knows with a
  /// meaning of their own (`greens`, `spectacles`): what they are is not what one of them is.
  static let fixed = WordTable(
    """
     windows arms goods customs means works spirits minutes news clothes waters ashes physics mathematics \
    economics politics series species always perhaps besides towards does gas lens yes texas paris wales james \
    mars games jeans pants scissors colours colors damages forces looks manners papers acoustics acres adams \
    aesthetics affairs aides aleutians alleghenies allies aloes ambages amenities amnios anagrams ancients \
    andrews antipodes antitrades appalachians aquatics argos ascomycetes assets assizes auspices authorities \
    balkans balusters banks baptists barrels basics basidiomycetes beads beatniks beats bellows belongings bends \
    berbers berkshires bilges billings bitters blahs bleachers blinks bloomers blues boards bones bowels bowls \
    boxcars boxers brakes breeches bridges briefs brits brooks buckskins burns buttocks callas canaries \
    candlepins canticles cards cascades ceramics ceres chains chambers channels charades checkers cheviots chips \
    circumstances clams clappers classics cleaners cleats cleavers clews clocks cobblers cocos coevals collards \
    colossians comforts communications compliments conditions congratulations contemporaries contents contras \
    conveniences cords corduroys corps corrections costs cotswolds crabs cracklings craps credits creeps \
    crossroads darts davys deeds dermatoglyphics descendants deserts details devices dialectics diggings dippers \
    discomycetes dominos doubles dozens draughts drawers dregs drippings duckpins dumas dumps dunkers dynamics \
    edwards effects eighties elements ephesians esthetics ethics falls fatigues feelings fields fifties finances \
    findings fixings flats flies follies followers forties fries fumes fundamentals funds funnies galatians \
    gasteromycetes gastromycetes gates glassworks goldfields graphics gripes grits groats grounds hackles hands \
    hanks harmonics heaps hearts heavens hebrews heights heroics highlands hindquarters hippies hipsters \
    hollands honours hooks hoops horseshoes hostilities hours houyhnhnms humanities humans hurdles hymeneals \
    hysterics innings instructions irons ironsides ironworks isometrics israelites jacks jackstraws jacobs \
    jaspers jimmies jitters jodhpurs johns judas judges junkers knuckles lamentations lancers lashings laurels \
    leaders leftovers leotards letters liabilities limbers links loads lodgings logos loins lowlands madeiras \
    majors manes marbles marches marines marks marshals masters mates maulers mayas mechanics medlars megrims \
    metalworks methodists metrics mills minors mnemonics monas mopes morals mores mormons myxomycetes najas \
    names ninepins nineties nones nothings numbers nylons occasions oddments operations optics organs oscines \
    outskirts owens pains parks parsons parts payables peanuts peoples pharmaceutics philippians philippines \
    pickings piles platyhelminthes pliers plyers poitiers polemics polls porcupines pragmatics prelims primates \
    privates prophets props proverbs provisions provos psalms punks pyrites pyrotechnics pythias quadratics \
    quakers quarters queens quoits raffles rafts rastas rates rayons receipts regrets relations respects riches \
    rings roads roberts rockers romans rooms roots rounders ruddles rudiments sales sands savings scads scopes \
    scores scots scours scraps scrubs scruples seats sellers services sessions settlings sevens seventies shades \
    shakers shambles shears shekels shingles shoes shorts shucks sights silks sills singles sixties skinheads \
    skittles skivvies slacks slews smuts snips snuffers solomons soviets spareribs specs spectacles spillikins \
    splinters spots sprinkles sprites stacks staggers stairs stalls starches statics stations statistics stays \
    steps stocks stops strings summercaters sweats tabernacles tails takings talks tears teens tenpins teras \
    terms thebes therapeutics things thirties threads throes tigers times tours transactions trappings trembles \
    trimmings troglodytes troops tropics trumpets trunks turps twenties twins values vapors vapours vespers \
    viands vibes viewers waders wages walloons watts weeds wells whiskers wings winnings words writings years \
    chillies uglies agones cicatrices cryings cutes fortes frijoles imagines syringes uigurs yeshivahs \

    """)
  /// Spellings, and words that mean the same wherever they stand.
  static let same = WordTable(
    """
     automobile=car automobiles=cars bike=bicycle bikes=bicycles shut=close shuts=closes film=movie films=movies \
    photo=photograph photos=photographs phone=telephone phones=telephones tv=television e-mail=email begin=start \
    begins=starts commence=start purchase=buy larger=bigger largest=biggest colour=color \
    favourite=favorite centre=center theatre=theater organise=organize organisation=organization grey=gray \
    neighbour=neighbor behaviour=behavior honour=honor labour=labor licence=license defence=defense \
    catalogue=catalog programme=program aluminium=aluminum tyre=tire maximum=max minimum=min everybody=everyone \
    anybody=anyone somebody=someone okay=ok mom=mother mum=mother dad=father \

    """)
  static let number = WordTable(
    " zero=0 two=2 three=3 four=4 five=5 six=6 seven=7 eight=8 nine=9 ten=10 eleven=11 twelve=12 ")
  /// Behind a number only. Short ones keep their case: mW is not MW.
  static let unit = WordTable(
    """
     km=km kilometre=km kilometres=km kilometer=km kilometers=km m=m metre=m metres=m meter=m meters=m cm=cm \
    centimetre=cm centimetres=cm centimeter=cm centimeters=cm mm=mm millimetre=mm millimetres=mm millimeter=mm \
    millimeters=mm kg=kg kilogram=kg kilograms=kg kilo=kg kilos=kg g=g gram=g grams=g mg=mg milligram=mg \
    milligrams=mg s=s sec=s second=s seconds=s min=min mins=min minute=min minutes=min h=h hr=h hrs=h hour=h \
    hours=h day=day days=day week=week weeks=week month=month months=month year=year years=year mile=mile \
    miles=mile foot=foot feet=foot ft=foot inch=inch inches=inch litre=l litres=l liter=l liters=l l=l ml=ml \
    percent=% per-cent=% %=% volt=V volts=V V=V watt=W watts=W W=W kW=kW kilowatt=kW kilowatts=kW MW=MW mW=mW \
    megawatt=MW megawatts=MW milliwatt=mW milliwatts=mW ampere=A amperes=A A=A MB=MB megabyte=MB megabytes=MB \
    GB=GB gigabyte=GB gigabytes=GB kB=kB KB=kB kilobyte=kB kilobytes=kB Hz=Hz hertz=Hz kHz=kHz MHz=MHz GHz=GHz \

    """)
  /// X's N is the N of X for these; of others, as of pictures, it may be more than one thing.
  static let relation = WordTable(
    """
     capital population president king queen name size height length weight colour color age currency language \
    area founder director ceo mother father author owner address price temperature diameter radius mass birthday \

    """)
}
