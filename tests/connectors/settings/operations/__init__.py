"""Operations in the settings of a target."""
