import Bounded
