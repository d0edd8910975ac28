"""Operations of target connections, against systems of several kinds."""
